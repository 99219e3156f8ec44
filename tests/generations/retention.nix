# Another configuration of the service itself.
{ services.climate.retentionDays = 30; }
