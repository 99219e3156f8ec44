# Climate, and a tunnel to a peer that is on the host, as is the time server. Ports of the host are not known before, so the
# story says which of them these addresses lead to. Until then whatever is sent to them is dropped: what left once would be led
# nowhere else for as long as more follows.
{
  networking = {
    hosts."192.0.2.1" = [ "vpn.test" ];
    timeServers = [ "192.0.2.123" ];
    wireguard.interfaces.wg0 = {
      ips = [ "10.66.0.7/24" ];
      privateKeyFile = "/var/lib/wireguard/wg0.key";
      generatePrivateKeyFile = true;
      peers = [{
        publicKey = "TpLSqdOygPq+SzZZQDh0kck8imveYtbjtgRVKoYqTWo=";
        allowedIPs = [ "10.66.0.0/24" ];
        endpoint = "vpn.test:51820";
        persistentKeepalive = 25;
      }];
    };
    nftables.tables.internet = {
      family = "ip";
      content = ''
        chain leads {
          type nat hook output priority -100;
        }
        chain ends {
          type filter hook output priority 0;
          ip daddr 192.0.2.0/24 drop
        }
      '';
    };
  };
}
