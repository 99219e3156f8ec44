# The recorder appliance: a USB camera far away, with a button and three LEDs, that uploads what it records.
#
# What one device alone has (name, SSH keys, Wi-Fi, time zone, secrets) belongs into lichen.toml on its card: also
# recorder.bearer-token, without which nobody sees a picture, and the secrets of where recordings are uploaded to.
{
  networking.hostName = "recorder";
  time.timeZone = "UTC";

  services.recorder = {
    enable = true;
    openFirewall = true; # page and API on port 8083, metrics on 9101
    record = "manual"; # or "always", or "schedule" with:
    # schedule = [ { start = "Mon..Fri 08:00"; stop = "Mon..Fri 22:00"; } ];
    gpio = { button = 17; leds = { ready = 22; error = 27; network = 24; }; }; # numbers of the header's GPIO lines
    # uploads = { target = "tus"; tus.url = "https://videos.example.org/files/"; };
  };

  # Figures of the device itself, on port 9100.
  services.prometheus.exporters.node = { enable = true; openFirewall = true; };

  # Beneath the compressed memory that every appliance has: used only when that is full, as it wears the card.
  swapDevices = [ { device = "/var/swapfile"; size = 256; priority = 1; } ];
}
