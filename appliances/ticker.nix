# The ticker appliance: a Raspberry Pi 4 that keeps market data, around the clock.
#
# What one device alone has (name, SSH keys, Wi-Fi, time zone, secrets) belongs into lichen.toml on its card.
{
  networking.hostName = "ticker";
  time.timeZone = "UTC";

  services.ticker = {
    enable = true;
    openFirewall = true; # health, status and metrics on port 8082
    sources = [
      { name = "coinbase"; kind = "coinbase"; channels = [ "matches" "ticker" ]; symbols = [ "BTC-USD" "ETH-USD" ]; }
      { name = "binance"; kind = "binance"; channels = [ "trade" "bookTicker" ]; symbols = [ "BTCUSDT" "ETHUSDT" ]; }
    ];
    # Its keys are the secrets ticker.s3-access-key-id and ticker.s3-secret-access-key in lichen.toml.
    s3 = { endpoint = "https://s3.eu-central-1.amazonaws.com"; region = "eu-central-1"; bucket = "market-data"; };
  };

  # Beneath the compressed memory that every appliance has: used only when that is full, as it wears the card.
  swapDevices = [ { device = "/var/swapfile"; size = 2048; priority = 1; } ];
  boot.kernel.sysctl = { "vm.swappiness" = 10; "fs.file-max" = 65535; };
  hardware.raspberry-pi.firmwareConfig = [ "gpu_mem=16" ];
}
