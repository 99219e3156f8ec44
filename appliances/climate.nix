# The climate appliance: a Raspberry Pi with a Sense HAT that watches a server room.
# Name, keys, Wi-Fi, time zone and secrets of one device belong into lichen.toml on its SD card.
{
  networking.hostName = "climate";
  time.timeZone = "UTC";

  services.climate = {
    enable = true;
    openFirewall = true; # page, API and metrics on port 8080
    temperature = { min = 15; max = 27; };
    humidity = { min = 30; max = 70; };
  };
  hardware.i2c.enable = true; # 100 kHz unless told otherwise, as the Sense HAT wants it

  services.openssh = {
    enable = true;
    settings.PasswordAuthentication = false;
  };
  networking.firewall.enable = true;

  zramSwap.enable = true;
  services.journald.extraConfig = ''
    SystemMaxUse=100M
    MaxRetentionSec=30day
  '';
}
