# A release that gets well when it is told to, which may be long after it has booted.
{ lichen.healthChecks.told.command = "test -e /run/get-well"; }
