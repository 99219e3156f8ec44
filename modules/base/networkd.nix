# systemd-networkd's own files.
{ lib, config, ... }:
let
  inherit (lib) mkOption mkIf types;
  cfg = config.systemd.network;
  unit = import ./systemd/options.nix { inherit lib; };
  render = import ./systemd/render.nix { inherit lib; };

  section = name: mkOption { type = types.attrsOf unit.unitOption; default = { }; description = "Lines of the `[${name}]` section."; };
  strings = name: mkOption { type = types.listOf types.str; default = [ ]; description = "Each a `${name}=` line of `[Network]`."; };
  # Each element is a section; the older form with one attribute around them means the same.
  sections = name: old: mkOption {
    type = types.listOf (types.attrsOf (types.either unit.unitOption (types.attrsOf unit.unitOption)));
    default = [ ];
    apply = map (s: s.${old} or s);
    description = "Each a `[${name}]` section.";
  };
  common = {
    enable = mkOption { type = types.bool; default = true; description = "Whether the file is made."; };
    extraConfig = mkOption { type = types.lines; default = ""; description = "Further lines at the end of the file."; };
  };
  matchable = {
    matchConfig = section "Match";
  };

  networkOptions = {
    options = common // matchable // {
      name = mkOption { type = types.nullOr types.str; default = null; example = "eth0"; description = "The interface's name to match."; };
      DHCP = mkOption { type = types.nullOr types.str; default = null; example = "yes"; description = "Whether to use DHCP: yes, no, ipv4 or ipv6."; };
      linkConfig = section "Link";
      networkConfig = section "Network";
      dhcpV4Config = section "DHCPv4";
      dhcpV6Config = section "DHCPv6";
      dhcpServerConfig = section "DHCPServer";
      ipv6AcceptRAConfig = section "IPv6AcceptRA";
      address = strings "Address";
      gateway = strings "Gateway";
      dns = strings "DNS";
      ntp = strings "NTP";
      domains = mkOption { type = types.nullOr (types.listOf types.str); default = null; description = "The `Domains=` of `[Network]`."; };
      bridge = strings "Bridge";
      bond = strings "Bond";
      vlan = strings "VLAN";
      addresses = sections "Address" "addressConfig";
      routes = sections "Route" "routeConfig";
    };
  };
  netdevOptions = {
    options = common // {
      netdevConfig = section "NetDev";
      wireguardConfig = section "WireGuard";
      wireguardPeers = sections "WireGuardPeer" "wireguardPeerConfig";
      vlanConfig = section "VLAN";
      bridgeConfig = section "Bridge";
      bondConfig = section "Bond";
    };
  };
  linkOptions = { options = common // matchable // { linkConfig = section "Link"; }; };

  tail = def: lib.optionalString (def.extraConfig != "") "\n${def.extraConfig}\n";
  repeated = name: value: { inherit name value; };
  network = n: render.ini [
    (repeated "Match" (n.matchConfig // lib.optionalAttrs (n.name != null) { Name = n.name; }))
    (repeated "Link" n.linkConfig)
    (repeated "Network" (lib.filterAttrs (_: v: v != [ ]) {
      Address = n.address;
      Gateway = n.gateway;
      DNS = n.dns;
      NTP = n.ntp;
      Bridge = n.bridge;
      Bond = n.bond;
      VLAN = n.vlan;
    } // lib.optionalAttrs (n.DHCP != null) { inherit (n) DHCP; }
      // lib.optionalAttrs (n.domains != null) { Domains = lib.concatStringsSep " " n.domains; }
      # networkd turns it off for each link of which nobody says anything.
      // lib.optionalAttrs config.lichen.localName { MulticastDNS = true; }
      // n.networkConfig))
    (repeated "Address" n.addresses)
    (repeated "Route" n.routes)
    (repeated "DHCPv4" n.dhcpV4Config)
    (repeated "DHCPv6" n.dhcpV6Config)
    (repeated "DHCPServer" n.dhcpServerConfig)
    (repeated "IPv6AcceptRA" n.ipv6AcceptRAConfig)
  ] + tail n;
  netdev = n: render.ini [
    (repeated "NetDev" n.netdevConfig)
    (repeated "VLAN" n.vlanConfig)
    (repeated "Bridge" n.bridgeConfig)
    (repeated "Bond" n.bondConfig)
    (repeated "WireGuard" n.wireguardConfig)
    (repeated "WireGuardPeer" n.wireguardPeers)
  ] + tail n;
  link = n: render.ini [ (repeated "Match" n.matchConfig) (repeated "Link" n.linkConfig) ] + tail n;

  files = suffix: text: defs: lib.mapAttrs'
    (name: def: lib.nameValuePair "systemd/network/${name}.${suffix}" { text = text def; })
    (lib.filterAttrs (_: d: d.enable) defs);
in
{
  options.systemd.network = {
    enable = mkOption { type = types.bool; default = true; description = "Whether systemd-networkd runs."; };
    networks = mkOption { default = { }; type = types.attrsOf (types.submodule networkOptions); description = "Configuration of interfaces, see {manpage}`systemd.network(5)`."; };
    netdevs = mkOption { default = { }; type = types.attrsOf (types.submodule netdevOptions); description = "Virtual interfaces, see {manpage}`systemd.netdev(5)`."; };
    links = mkOption { default = { }; type = types.attrsOf (types.submodule linkOptions); description = "Properties of interfaces, see {manpage}`systemd.link(5)`."; };
    wait-online = {
      enable = mkOption { type = types.bool; default = true; description = "Whether {file}`network-online.target` waits for the network."; };
      anyInterface = mkOption { type = types.bool; default = true; description = "Whether one interface that is online is enough."; };
      timeout = mkOption { type = types.ints.unsigned; default = 120; description = "How long to wait at most, in seconds; 0 for ever."; };
      extraArgs = mkOption { type = types.listOf types.str; default = [ ]; description = "Further arguments of {command}`systemd-networkd-wait-online`."; };
    };
  };

  config = mkIf cfg.enable {
    environment.etc = lib.mkMerge [
      (files "network" network cfg.networks)
      (files "netdev" netdev cfg.netdevs)
      (files "link" link cfg.links)
    ];
    systemd.services = {
      systemd-networkd = {
        wantedBy = [ "multi-user.target" ];
        aliases = [ "dbus-org.freedesktop.network1.service" ];
        restartTriggers = lib.mapAttrsToList (name: f: "${name}\n${f.text}")
          (lib.filterAttrs (name: _: lib.hasPrefix "systemd/network/" name) config.environment.etc);
      };
      # This unit reads network settings from the kernel's command line and credentials; a device has none there.
      systemd-network-generator = {
        wantedBy = [ "sysinit.target" ];
        unitConfig = {
          ConditionKernelCommandLine = map (word: "|${word}")
            [ "ip" "nameserver" "ifname" "net.ifname_policy" "vlan" "bond" "bridge" "team" "rd.route" "rd.peerdns" "bootdev" ];
          ConditionDirectoryNotEmpty = [ "|/run/credentials/@system" "|/run/credentials/@encrypted" ];
        };
      };
      systemd-networkd-wait-online = if !cfg.wait-online.enable then { enable = false; } else {
        wantedBy = [ "network-online.target" ];
        serviceConfig.ExecStart = [
          ""
          (lib.concatStringsSep " " ([ "/usr/lib/systemd/systemd-networkd-wait-online" ]
            ++ lib.optional cfg.wait-online.anyInterface "--any"
            ++ [ "--timeout=${toString cfg.wait-online.timeout}" ]
            ++ cfg.wait-online.extraArgs))
        ];
      };
    };
    systemd.sockets.systemd-networkd.wantedBy = [ "sockets.target" ];
  };
}
