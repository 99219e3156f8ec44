# Names, addresses and time servers.
{ lib, config, ... }:
let
  inherit (lib) mkOption mkIf types;
  cfg = config.networking;
  words = lib.concatStringsSep " ";

  address = v: {
    options = {
      address = mkOption { type = types.str; description = "The IPv${v} address."; };
      prefixLength = mkOption { type = types.ints.between 0 (if v == "4" then 32 else 128); description = "The length of the network's prefix, in bits."; };
    };
  };
  route = v: {
    options = {
      address = mkOption { type = types.str; description = "The IPv${v} network."; };
      prefixLength = mkOption { type = types.ints.between 0 (if v == "4" then 32 else 128); description = "The length of the network's prefix, in bits."; };
      via = mkOption { type = types.nullOr types.str; default = null; description = "The next hop."; };
      options = mkOption { type = types.attrsOf types.str; default = { }; example = { metric = "100"; }; description = "Further options of the route."; };
    };
  };
  listOf = options: description: mkOption { type = types.listOf (types.submodule options); default = [ ]; inherit description; };
  interfaceOptions = { name, ... }: {
    options = {
      name = mkOption { type = types.str; default = name; defaultText = lib.literalMD "the attribute's name"; description = "The name of the interface."; };
      useDHCP = mkOption { type = types.nullOr types.bool; default = null; description = "Whether the interface asks DHCP for its configuration. null: only if nothing else is configured for it here."; };
      macAddress = mkOption { type = types.nullOr types.str; default = null; example = "00:11:22:33:44:55"; description = "A MAC address in place of the hardware's."; };
      mtu = mkOption { type = types.nullOr types.int; default = null; example = 9000; description = "The MTU."; };
      ipv4.addresses = listOf (address "4") "IPv4 addresses of the interface.";
      ipv6.addresses = listOf (address "6") "IPv6 addresses of the interface.";
      ipv4.routes = listOf (route "4") "IPv4 routes through the interface.";
      ipv6.routes = listOf (route "6") "IPv6 routes through the interface.";
    };
  };
  gateway = types.coercedTo types.str (address: { inherit address; }) (types.submodule {
    options = {
      address = mkOption { type = types.str; description = "The address of the gateway."; };
      interface = mkOption { type = types.nullOr types.str; default = null; example = "eth0"; description = "The interface it is on."; };
      metric = mkOption { type = types.nullOr types.int; default = null; example = 42; description = "The metric of the route."; };
    };
  });
  gateways = lib.filter (g: g != null) [ cfg.defaultGateway cfg.defaultGateway6 ];

  cidr = a: "${a.address}/${toString a.prefixLength}";
  routeOf = r: { Destination = cidr r; }
    // lib.optionalAttrs (r.via != null) { Gateway = r.via; }
    // lib.mapAttrs' (k: lib.nameValuePair (if k == "metric" then "Metric" else k)) r.options;
  hostName = lib.optional (cfg.hostName != "") cfg.hostName;
  fqdn = lib.optional (cfg.hostName != "" && cfg.domain != null) "${cfg.hostName}.${cfg.domain}";
in
{
  options.networking = {
    hostName = mkOption {
      type = types.strMatching "^$|^[[:alnum:]]([[:alnum:]_-]{0,61}[[:alnum:]])?$";
      default = "lichen";
      example = "rack7";
      description = "The name of the device. {file}`lichen.toml` may give single devices names of their own.";
    };
    domain = mkOption { type = types.nullOr types.str; default = null; example = "home.arpa"; description = "The domain of the device."; };
    hosts = mkOption {
      type = types.attrsOf (types.listOf types.str);
      default = { };
      example = { "192.168.0.2" = [ "fileserver.local" "nfs" ]; };
      description = "Names of addresses, for {file}`/etc/hosts`.";
    };
    extraHosts = mkOption { type = types.lines; default = ""; example = "192.168.0.1 lanlocalhost"; description = "Further lines of {file}`/etc/hosts`."; };
    nameservers = mkOption { type = types.listOf types.str; default = [ ]; example = [ "9.9.9.9" ]; description = "DNS servers, besides those that the network names."; };
    search = mkOption { type = types.listOf types.str; default = [ ]; example = [ "example.com" ]; description = "Domains in which short names are looked up."; };
    timeServers = mkOption {
      type = types.listOf types.str;
      default = map (n: "${toString n}.debian.pool.ntp.org") (lib.range 0 3);
      description = "NTP servers.";
    };
    useNetworkd = mkOption { type = types.bool; default = true; description = "Whether systemd-networkd configures the network. It does."; };
    useDHCP = mkOption { type = types.bool; default = true; description = "Whether interfaces that aren't configured otherwise ask DHCP."; };
    interfaces = mkOption { default = { }; type = types.attrsOf (types.submodule interfaceOptions); description = "Interfaces that are configured by hand."; };
    defaultGateway = mkOption { type = types.nullOr gateway; default = null; example = { address = "192.168.1.1"; interface = "eth0"; }; description = "The default gateway."; };
    defaultGateway6 = mkOption { type = types.nullOr gateway; default = null; description = "The default gateway for IPv6."; };
  };

  config = {
    environment.etc = {
      hostname = mkIf (cfg.hostName != "") { text = cfg.hostName + "\n"; };
      hosts.text = lib.concatStrings (lib.mapAttrsToList
        (ip: names: lib.optionalString (names != [ ]) "${ip} ${words names}\n")
        cfg.hosts) + lib.optionalString (cfg.extraHosts != "") (cfg.extraHosts + "\n");
    };
    networking.hosts = {
      "127.0.0.1" = [ "localhost" ];
      "::1" = [ "localhost" ];
      "127.0.0.2" = fqdn ++ hostName;
    };

    systemd.network.networks = lib.mkMerge ([
      (mkIf cfg.useDHCP {
        "99-ethernet-default-dhcp" = {
          matchConfig = { Type = "ether"; Kind = "!*"; };
          DHCP = "yes";
          networkConfig.IPv6PrivacyExtensions = "kernel";
        };
        "99-wireless-client-dhcp" = {
          matchConfig.WLANInterfaceType = "station";
          DHCP = "yes";
          networkConfig.IPv6PrivacyExtensions = "kernel";
          # Prefer a cable, if there is one.
          dhcpV4Config.RouteMetric = 1025;
          ipv6AcceptRAConfig.RouteMetric = 1025;
        };
      })
    ] ++ lib.mapAttrsToList
      (_: i: {
        "40-${i.name}" = {
          inherit (i) name;
          DHCP = if i.useDHCP == true then "yes" else "no";
          address = map cidr (i.ipv4.addresses ++ i.ipv6.addresses);
          routes = map routeOf (i.ipv4.routes ++ i.ipv6.routes);
          networkConfig.IPv6PrivacyExtensions = "kernel";
          linkConfig = lib.optionalAttrs (i.macAddress != null) { MACAddress = i.macAddress; }
            // lib.optionalAttrs (i.mtu != null) { MTUBytes = i.mtu; };
        };
      })
      cfg.interfaces
    ++ map
      (g: mkIf (g.interface != null) {
        "40-${g.interface}" = {
          matchConfig.Name = g.interface;
          routes = [ ({ Gateway = g.address; } // lib.optionalAttrs (g.metric != null) { Metric = g.metric; }) ];
        };
      })
      gateways);

    assertions = [
      { assertion = cfg.useNetworkd; message = "networking.useNetworkd must stay true: the base has no other way to configure the network."; }
    ] ++ map
      (g: {
        assertion = g.interface != null;
        message = "networking.defaultGateway.interface is not optional: systemd-networkd must know which interface ${g.address} is on.";
      })
      gateways;
  };
}
