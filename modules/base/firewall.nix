# The firewall: closed, except for what is declared. Rendered for nftables, which Debian's nftables.service loads.
{ lib, config, ... }:
let
  inherit (lib) mkOption mkIf types;
  cfg = config.networking.firewall;
  nft = config.networking.nftables;

  ports = protocol: mkOption {
    type = types.listOf types.port;
    default = [ ];
    apply = xs: builtins.sort builtins.lessThan (lib.unique xs);
    example = [ 8080 ];
    description = "${protocol} ports that accept connections.";
  };
  ranges = protocol: mkOption {
    type = types.listOf (types.attrsOf types.port);
    default = [ ];
    example = [{ from = 8999; to = 9003; }];
    description = "Ranges of ${protocol} ports that accept connections.";
  };
  allowed = {
    allowedTCPPorts = ports "TCP";
    allowedUDPPorts = ports "UDP";
    allowedTCPPortRanges = ranges "TCP";
    allowedUDPPortRanges = ranges "UDP";
  };

  set = xs: "{ ${lib.concatStringsSep ", " xs} }";
  accept = interface: protocol: ports: ranges:
    let all = map toString ports ++ map (r: "${toString r.from}-${toString r.to}") ranges; in
    lib.optional (all != [ ]) "${lib.optionalString (interface != "default") "iifname \"${interface}\" "}${protocol} dport ${set all} accept";
  opened = interface: c:
    accept interface "tcp" c.allowedTCPPorts c.allowedTCPPortRanges
    ++ accept interface "udp" c.allowedUDPPorts c.allowedUDPPortRanges;

  text = lines: lib.filter (l: l != "") (lib.splitString "\n" lines);
  chain = name: rules: "\tchain ${name} {\n${lib.concatMapStrings (r: "\t\t${r}\n") rules}\t}\n";
  reversePath = cfg.checkReversePath != false;
  loose = cfg.checkReversePath == "loose";
  refuse = if cfg.rejectPackets then [ "meta l4proto tcp reject with tcp reset" "reject" ] else [ ];

  ruleset = "table inet lichen-fw {\n" + lib.concatStringsSep "\n" (
    lib.optional reversePath (chain "rpfilter" ([
      "type filter hook prerouting priority mangle + 10; policy drop;"
      "meta nfproto ipv4 udp sport . udp dport { 67 . 68, 68 . 67 } accept comment \"DHCPv4\""
      "fib saddr . mark ${lib.optionalString (!loose) ". iif "}oif exists accept"
    ] ++ text cfg.extraReversePathFilterRules
      ++ lib.optional cfg.logReversePathDrops "limit rate 10/minute log level info prefix \"rpfilter drop: \""))
    ++ [
      (chain "input" ([
        "type filter hook input priority filter; policy drop;"
        "iifname ${set (map (i: "\"${i}\"") ([ "lo" ] ++ cfg.trustedInterfaces))} accept comment \"trusted interfaces\""
        "ct state vmap { invalid : drop, established : accept, related : accept, new : jump input-allow, untracked : jump input-allow }"
      ]
      # A card doesn't last if every scan of the neighbourhood is written to it.
      ++ lib.optional cfg.logRefusedConnections "tcp flags & (fin | syn | rst | ack) == syn limit rate 10/minute log level info prefix \"refused connection: \""
      ++ lib.optional cfg.logRefusedPackets "limit rate 10/minute log level info prefix \"refused packet: \""
      ++ refuse))
      (chain "input-allow" (
        opened "default" cfg
        ++ lib.concatLists (lib.mapAttrsToList opened cfg.interfaces)
        ++ lib.optional cfg.allowPing "icmp type echo-request ${lib.optionalString (cfg.pingLimit != null) "limit rate ${cfg.pingLimit} "}accept comment \"allow ping\""
        ++ [
          "icmpv6 type != { nd-redirect, 139 } accept comment \"all of ICMPv6 but redirects and node information queries\""
          "ip6 daddr fe80::/64 udp dport 546 accept comment \"DHCPv6 client\""
        ]
        ++ text cfg.extraInputRules))
    ]
    ++ lib.optionals cfg.filterForward [
      (chain "forward" [
        "type filter hook forward priority filter; policy drop;"
        "ct state vmap { invalid : drop, established : accept, related : accept, new : jump forward-allow, untracked : jump forward-allow }"
      ])
      (chain "forward-allow" ([
        "icmpv6 type != { router-renumbering, 139 } accept"
        "ct status dnat accept comment \"allow port forward\""
      ] ++ text cfg.extraForwardRules))
    ]
  ) + "}\n";

  tables = lib.concatStrings (lib.mapAttrsToList
    (_: t: "\ntable ${t.family} ${t.name} {\n${t.content}\n}\n")
    (lib.filterAttrs (_: t: t.enable) nft.tables));
in
{
  options.networking = {
    firewall = allowed // {
      enable = mkOption { type = types.bool; default = true; description = "Whether packets are refused that nothing declared allows."; };
      interfaces = mkOption {
        default = { };
        type = types.attrsOf (types.submodule { options = allowed; });
        example = { wg0.allowedTCPPorts = [ 9100 ]; };
        description = "What is allowed on single interfaces.";
      };
      trustedInterfaces = mkOption { type = types.listOf types.str; default = [ ]; example = [ "wg0" ]; description = "Interfaces from which everything is accepted."; };
      allowPing = mkOption { type = types.bool; default = true; description = "Whether to answer pings. IPv6 always does."; };
      pingLimit = mkOption { type = types.nullOr (types.separatedString " "); default = null; example = "1/second burst 5 packets"; description = "A limit on answered pings, as nftables writes it."; };
      rejectPackets = mkOption { type = types.bool; default = false; description = "Whether refused packets are answered with a rejection, instead of silence."; };
      checkReversePath = mkOption { type = types.either types.bool (types.enum [ "strict" "loose" ]); default = true; example = "loose"; description = "Whether packets are dropped if a reply to their sender would leave through another interface than they came in."; };
      logRefusedConnections = mkOption { type = types.bool; default = true; description = "Whether refused connections are logged; a few per minute, to spare the card."; };
      logRefusedPackets = mkOption { type = types.bool; default = false; description = "Whether all refused packets are logged."; };
      logReversePathDrops = mkOption { type = types.bool; default = false; description = "Whether packets are logged that the reverse path check drops."; };
      filterForward = mkOption { type = types.bool; default = false; description = "Whether forwarded packets are refused as well, unless something declared allows them."; };
      extraInputRules = mkOption { type = types.lines; default = ""; example = "ip saddr 10.0.0.0/8 tcp dport 80 accept"; description = "Further nftables rules of the chain input-allow."; };
      extraForwardRules = mkOption { type = types.lines; default = ""; example = "iifname wg0 accept"; description = "Further nftables rules of the chain forward-allow."; };
      extraReversePathFilterRules = mkOption { type = types.lines; default = ""; description = "Further nftables rules of the chain rpfilter."; };
    };
    nftables = {
      enable = mkOption { type = types.bool; default = true; description = "Whether nftables is used. The base has nothing else."; };
      ruleset = mkOption { type = types.lines; default = ""; description = "Further nftables rules, in tables of their own."; };
      tables = mkOption {
        default = { };
        description = "Further nftables tables.";
        type = types.attrsOf (types.submodule ({ name, ... }: {
          options = {
            enable = mkOption { type = types.bool; default = true; description = "Whether the table is made."; };
            name = mkOption { type = types.str; default = name; description = "The table's name."; };
            family = mkOption { type = types.enum [ "ip" "ip6" "inet" "arp" "bridge" "netdev" ]; description = "The table's family."; };
            content = mkOption { type = types.lines; description = "What the table holds."; };
          };
        }));
      };
    };
  };

  config = {
    environment.etc."nftables.conf" = {
      text = "#! /usr/sbin/nft -f\nflush ruleset\n" + lib.optionalString cfg.enable "\n${ruleset}" + tables
        + lib.optionalString (nft.ruleset != "") "\n${nft.ruleset}\n";
    };
    # What the rules above need, loaded together: otherwise nft would wait while the kernel starts a program for each.
    boot.kernelModules = mkIf cfg.enable ([ "nf_tables" "nft_ct" "nft_limit" "nft_log" "nf_log_syslog" ]
      ++ lib.optional reversePath "nft_fib_inet" ++ lib.optional cfg.rejectPackets "nft_reject_inet");
    systemd.services.nftables = mkIf nft.enable {
      wantedBy = [ "sysinit.target" ];
      after = [ "systemd-modules-load.service" ];
      # New rules replace the old ones in one transaction; a stop would leave the device open meanwhile.
      reloadIfChanged = true;
      reloadTriggers = [ config.environment.etc."nftables.conf".text ];
    };
    assertions = [
      {
        assertion = cfg.enable -> nft.enable;
        message = "networking.firewall.enable needs networking.nftables.enable: the base has no other firewall.";
      }
      {
        assertion = lib.all (r: r ? from && r ? to) (cfg.allowedTCPPortRanges ++ cfg.allowedUDPPortRanges
          ++ lib.concatMap (i: i.allowedTCPPortRanges ++ i.allowedUDPPortRanges) (lib.attrValues cfg.interfaces));
        message = "networking.firewall: a port range needs both `from' and `to'.";
      }
    ];
  };
}
