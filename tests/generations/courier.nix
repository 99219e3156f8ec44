# Climate, whose metrics and journal are carried away. Where to is said by the story, as ports of the host are not known
# before. A quarter of a second stands for 15: three hours pass in three minutes. Otherwise all is as on every device.
{
  services.courier = {
    enable = true;
    openFirewall = true;
    remoteWrite.url = "http://10.0.2.2:1/api/v1/write";
    loki.url = "http://10.0.2.2:1/loki/api/v1/push";
    labels = { customer = "acme"; location = "cellar"; };
    scrape.interval = 0.25;
    # What waits goes at once when there is somebody again: how long the pauses become is not what takes time here.
    settings = { metrics.longest_retry_seconds = 2; logs.longest_retry_seconds = 2; };
  };
  # A service that says something four times a second: which boot it is in, and a number.
  systemd.services.chatter = {
    wantedBy = [ "multi-user.target" ];
    script = ''
      read -r boot < /proc/sys/kernel/random/boot_id
      for ((number = 1; ; number++)); do
        echo "$boot $number"
        sleep 0.25
      done
    '';
  };
}
