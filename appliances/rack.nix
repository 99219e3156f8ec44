# The rack appliance: a planner of racks for a home lab or a server room, on PostgreSQL, behind nginx, with a Prometheus that watches all
# of it.
#
# What one device alone has (name, SSH keys, Wi-Fi, time zone, secrets) belongs into lichen.toml on its card. The password of the first
# user, admin, is made by the device: lichenctl secret list tells where.
{
  networking.hostName = "rack";
  time.timeZone = "UTC";

  services.rack = {
    enable = true;
    openFirewall = true; # HTTP on the local network, and HTTPS
    # hostName = "rack.example.org";
    # publicView = true; # who does not log in may look
    # monitoring.alerts.webhook = true; # to the address in the secret alertmanager.webhook-url
  };

  # A certificate from an authority, in place of one that the device signs itself:
  # security.acme = { acceptTerms = true; defaults.email = "you@example.org"; };
  # services.nginx.virtualHosts."rack.example.org".enableACME = true;

  # Every night, 7 copies, encrypted to the key that `lichen key backup` makes:
  # lichen.backup = { enable = true; recipients = [ "age1…" ]; };

  # Beneath the compressed memory that every appliance has: used only when that is full, as it wears the card.
  swapDevices = [ { device = "/var/swapfile"; size = 512; priority = 1; } ];
}
