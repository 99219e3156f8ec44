# WireGuard, through systemd-networkd.
#
# The private key is never in the configuration: it is a file on DATA, made there on request, or the credential
# network.wireguard.private.<netdev file>, which `lichen.toml` can bring.
{ lib, config, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.networking.wireguard;

  peerOptions = {
    options = {
      name = mkOption { type = types.nullOr types.str; default = null; description = "A name for this peer, for people."; };
      publicKey = mkOption { type = types.singleLineStr; example = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="; description = "The peer's public key."; };
      presharedKeyFile = mkOption { type = types.nullOr types.str; default = null; example = "/var/lib/lichen/credentials/psk"; description = "The file with a key that both peers share."; };
      allowedIPs = mkOption { type = types.listOf types.str; default = [ ]; example = [ "10.10.10.1/32" ]; description = "The addresses behind the peer."; };
      endpoint = mkOption { type = types.nullOr types.str; default = null; example = "vpn.example.org:51820"; description = "The address and port of the peer."; };
      persistentKeepalive = mkOption { type = types.nullOr types.int; default = null; example = 25; description = "The seconds between packets that keep a way through NAT open."; };
    };
  };
  interfaceOptions = { name, ... }: {
    options = {
      ips = mkOption { type = types.listOf types.str; default = [ ]; example = [ "192.168.2.1/24" ]; description = "The addresses of the interface."; };
      privateKeyFile = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "/var/lib/wireguard/wg0.key";
        description = "The file with the private key. Without one, the credential `network.wireguard.private.40-${name}` is used.";
      };
      generatePrivateKeyFile = mkOption { type = types.bool; default = false; description = "Whether `privateKeyFile` is made at boot, if it is missing."; };
      listenPort = mkOption { type = types.nullOr types.port; default = null; example = 51820; description = "The UDP port; null for any. Open it in the firewall where peers call in."; };
      fwMark = mkOption { type = types.nullOr types.str; default = null; description = "The mark of outgoing packets."; };
      mtu = mkOption { type = types.nullOr types.int; default = null; example = 1280; description = "The MTU."; };
      table = mkOption { type = types.str; default = "main"; description = "The routing table of the peers' addresses."; };
      metric = mkOption { type = types.nullOr types.int; default = null; description = "The metric of those routes."; };
      allowedIPsAsRoutes = mkOption { type = types.bool; default = true; description = "Whether the peers' addresses become routes."; };
      peers = mkOption { type = types.listOf (types.submodule peerOptions); default = [ ]; description = "The peers."; };
    };
  };

  netdev = name: i: lib.nameValuePair "40-${name}" {
    netdevConfig = { Kind = "wireguard"; Name = name; } // lib.optionalAttrs (i.mtu != null) { MTUBytes = i.mtu; };
    wireguardConfig = lib.filterAttrs (_: v: v != null) {
      PrivateKeyFile = i.privateKeyFile;
      ListenPort = i.listenPort;
      FirewallMark = i.fwMark;
      RouteTable = if i.allowedIPsAsRoutes then i.table else null;
      RouteMetric = i.metric;
    };
    wireguardPeers = map
      (p: lib.filterAttrs (_: v: v != null) {
        PublicKey = p.publicKey;
        PresharedKeyFile = p.presharedKeyFile;
        AllowedIPs = if p.allowedIPs == [ ] then null else lib.concatStringsSep "," p.allowedIPs;
        Endpoint = p.endpoint;
        PersistentKeepalive = p.persistentKeepalive;
      })
      i.peers;
  };
  network = name: i: lib.nameValuePair "40-${name}" {
    matchConfig.Name = name;
    address = i.ips;
    DHCP = "no";
  };
  generated = lib.filterAttrs (_: i: i.generatePrivateKeyFile) cfg.interfaces;
in
{
  options.networking.wireguard = {
    enable = mkOption {
      type = types.bool;
      default = cfg.interfaces != { };
      defaultText = lib.literalExpression "config.networking.wireguard.interfaces != { }";
      description = "Whether WireGuard is used.";
    };
    interfaces = mkOption {
      default = { };
      type = types.attrsOf (types.submodule interfaceOptions);
      description = "WireGuard interfaces.";
      example = {
        wg0 = {
          ips = [ "10.10.0.7/24" ];
          privateKeyFile = "/var/lib/wireguard/wg0.key";
          generatePrivateKeyFile = true;
          peers = [{ publicKey = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="; allowedIPs = [ "10.10.0.0/24" ]; endpoint = "vpn.example.org:51820"; }];
        };
      };
    };
  };

  config = lib.mkIf cfg.enable {
    systemd.network.netdevs = lib.mapAttrs' netdev cfg.interfaces;
    systemd.network.networks = lib.mapAttrs' network cfg.interfaces;
    boot.kernelModules = [ "wireguard" ];

    systemd.services = lib.mapAttrs'
      (name: i: lib.nameValuePair "wireguard-${name}-key" {
        description = "WireGuard key of ${name}";
        before = [ "systemd-networkd.service" ];
        requiredBy = [ "systemd-networkd.service" ];
        unitConfig = {
          DefaultDependencies = false;
          RequiresMountsFor = builtins.dirOf i.privateKeyFile;
          ConditionPathExists = "!${i.privateKeyFile}";
        };
        serviceConfig = { Type = "oneshot"; RemainAfterExit = true; UMask = "0027"; };
        # Written under another name and renamed, so that a power cut never leaves half a key.
        script = let file = lib.escapeShellArg i.privateKeyFile; in ''
          mkdir -p -m 0755 "$(dirname ${file})"
          wg genkey > ${file}.new
          chown root:systemd-network ${file}.new
          chmod 0640 ${file}.new
          sync ${file}.new
          mv ${file}.new ${file}
        '';
      })
      generated;

    assertions = lib.mapAttrsToList
      (name: i: {
        assertion = i.privateKeyFile != null || !i.generatePrivateKeyFile;
        message = "networking.wireguard.interfaces.${name}.generatePrivateKeyFile needs privateKeyFile, the file to make.";
      })
      cfg.interfaces;
  };
}
