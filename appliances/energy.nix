# The energy appliance: prices and usage of electricity on a kitchen's wall.
#
# The account's token is a secret of the device: energy.amber-token in lichen.toml on its card, where its time zone
# belongs, too. A device without a screen serves the page all the same.
{
  networking.hostName = "energy";
  time.timeZone = "Australia/Sydney";

  services.energy = {
    enable = true;
    openFirewall = true; # page, API and metrics on port 5050
    retentionDays = 730;
  };

  # Beneath the compressed memory that every appliance has: used only when that is full, as it wears the card.
  swapDevices = [ { device = "/var/swapfile"; size = 256; priority = 1; } ];
}
