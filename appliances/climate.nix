# The climate appliance: a Raspberry Pi with a Sense HAT that watches a server room.
#
# What one device alone has (name, SSH keys, Wi-Fi, time zone, secrets) belongs into lichen.toml on its card.
# SSH with keys only, a closed firewall, compressed swap, a bounded journal and the watchdog are every
# appliance's defaults and need no words here.
{
  networking.hostName = "climate";
  time.timeZone = "UTC";

  services.climate = {
    enable = true;
    openFirewall = true; # page, API and metrics on port 8080
    interval = 60; # seconds between two readings
    temperature = { min = 15; max = 27; }; # °C; beyond it is an alert
    humidity = { min = 30; max = 70; }; # %
    # Alerts go where the secret climate.slack-webhook-url in lichen.toml says; who knows the secret
    # climate.bearer-token may change that over the API.
  };

  # Beneath the compressed memory that every appliance has: used only when that is full, as it wears the card.
  swapDevices = [ { device = "/var/swapfile"; size = 256; priority = 1; } ];
}
