# What options become, file by file.
{ lib, modules }:
let
  eval = module: modules.evalAppliance { pkgs.lichenctl.outPath = "/usr"; modules = [ module ]; };
  etc = module: (eval module).config.environment.etc;
  file = name: module: (etc module).${name}.text;
  linesWith = what: text: lib.filter (lib.hasInfix what) (lib.splitString "\n" text);
in
{
  "an empty appliance is sound" = { expr = { inherit (eval { }) failedAssertions problems; }; expected = { failedAssertions = [ ]; problems = [ ]; }; };
  "sshd: keys only" = {
    expr = file "ssh/sshd_config" { services.openssh = { ports = [ 22 2222 ]; settings = { AllowUsers = [ "root" "me" ]; Ciphers = [ "a" "b" ]; MaxAuthTries = 3; }; extraConfig = "Match User me"; }; };
    expected = ''
      Port 22
      Port 2222
      HostKey /var/lib/ssh/ssh_host_ed25519_key
      AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u /run/lichen/authorized_keys/%u
      Subsystem sftp internal-sftp
      PrintMotd no
      AllowUsers root me
      AuthorizedPrincipalsFile none
      Ciphers a,b
      ClientAliveInterval 15
      GatewayPorts no
      KbdInteractiveAuthentication no
      LogLevel INFO
      MaxAuthTries 3
      PasswordAuthentication no
      PermitRootLogin prohibit-password
      StrictModes yes
      UseDns no
      UsePAM yes
      X11Forwarding no
      Match User me
    '';
  };
  "authorized keys" = {
    expr = { inherit ((etc { users.users.root.openssh.authorizedKeys.keys = [ "ssh-ed25519 A" "ssh-ed25519 B\n" ]; })."ssh/authorized_keys.d/root") text mode; };
    expected = { text = "ssh-ed25519 A\nssh-ed25519 B\n"; mode = "0444"; };
  };
  "nftables: closed but for what is declared" = {
    expr = file "nftables.conf" {
      networking.firewall = {
        allowedTCPPorts = [ 8080 80 8080 ];
        allowedUDPPortRanges = [{ from = 60000; to = 60010; }];
        interfaces.wg0.allowedTCPPorts = [ 9100 ];
        trustedInterfaces = [ "eth1" ];
        checkReversePath = "loose";
        logRefusedConnections = false;
        pingLimit = "1/second";
        extraInputRules = "ip saddr 10.0.0.0/8 accept";
      };
    };
    expected = "#! /usr/sbin/nft -f\nflush ruleset\n\ntable inet lichen-fw {\n"
      + "\tchain rpfilter {\n"
      + "\t\ttype filter hook prerouting priority mangle + 10; policy drop;\n"
      + "\t\tmeta nfproto ipv4 udp sport . udp dport { 67 . 68, 68 . 67 } accept comment \"DHCPv4\"\n"
      + "\t\tfib saddr . mark oif exists accept\n"
      + "\t}\n\n\tchain input {\n"
      + "\t\ttype filter hook input priority filter; policy drop;\n"
      + "\t\tiifname { \"lo\", \"eth1\" } accept comment \"trusted interfaces\"\n"
      + "\t\tct state vmap { invalid : drop, established : accept, related : accept, new : jump input-allow, untracked : jump input-allow }\n"
      + "\t}\n\n\tchain input-allow {\n"
      + "\t\ttcp dport { 22, 80, 8080 } accept\n"
      + "\t\tudp dport { 5353, 60000-60010 } accept\n"
      + "\t\tiifname \"wg0\" tcp dport { 9100 } accept\n"
      + "\t\ticmp type echo-request limit rate 1/second accept comment \"allow ping\"\n"
      + "\t\ticmpv6 type != { nd-redirect, 139 } accept comment \"all of ICMPv6 but redirects and node information queries\"\n"
      + "\t\tip6 daddr fe80::/64 udp dport 546 accept comment \"DHCPv6 client\"\n"
      + "\t\tip saddr 10.0.0.0/8 accept\n"
      + "\t}\n}\n";
  };
  "what the firewall's rules need is loaded before them" = {
    expr = let c = networking: (eval { inherit networking; }).config; nft = c: lib.filter (lib.hasPrefix "nf") c.boot.kernelModules; in
      [ (nft (c { })) (nft (c { firewall = { checkReversePath = false; rejectPackets = true; }; })) (c { }).systemd.services.nftables.after ];
    expected = [
      [ "nf_tables" "nft_ct" "nft_limit" "nft_log" "nf_log_syslog" "nft_fib_inet" ]
      [ "nf_tables" "nft_ct" "nft_limit" "nft_log" "nf_log_syslog" "nft_reject_inet" ]
      [ "systemd-modules-load.service" ]
    ];
  };
  "a firewall that is off lets everything through" = { expr = file "nftables.conf" { networking.firewall.enable = false; }; expected = "#! /usr/sbin/nft -f\nflush ruleset\n"; };
  "accounts: every id is fixed" = {
    expr = lib.filter (l: builtins.match "[um] me .*" l != null) (lib.splitString "\n" (file "sysusers.d/00-lichen.conf" {
      users.users.me = { isNormalUser = true; uid = 1000; description = "It's me"; extraGroups = [ "i2c" "video" ]; };
      hardware.i2c.enable = true;
    }));
    expected = [ "u me 1000:users \"It's me\" /home/me /bin/bash" "m me i2c" "m me video" ];
  };
  "a service's user has the id of the registry" = {
    expr = linesWith "climate" (file "sysusers.d/00-lichen.conf" { users.users.climate = { isSystemUser = true; group = "climate"; }; users.groups.climate = { }; });
    expected = [ "g climate 900" "u climate 900:climate - /var/empty /usr/sbin/nologin" ];
  };
  "ids are given once" = {
    expr = let inherit ((eval { }).config) ids; in map (s: lib.allUnique (lib.attrValues s)) [ ids.uids ids.gids ];
    expected = [ true true ];
  };
  "nobody has a password unless it is declared" = {
    expr = [ (eval { }).config.users.hashedPasswords (eval { users.users.root.hashedPassword = "$y$x"; }).config.users.hashedPasswords ];
    expected = [ { } { root = "$y$x"; } ];
  };
  "the journal spares the card, and the configuration has the last word" = {
    expr = file "systemd/journald.conf" { services.journald = { rateLimitBurst = 100; extraConfig = "SystemMaxUse=100M"; }; };
    expected = ''
      [Journal]
      Storage=persistent
      RateLimitIntervalSec=30s
      RateLimitBurst=100
      SystemMaxUse=64M
      SystemMaxFileSize=8M
      RuntimeMaxUse=16M
      MaxRetentionSec=30day
      SyncIntervalSec=5min
      ForwardToSyslog=no
      SystemMaxUse=100M
    '';
  };
  "logrotate" = {
    expr = file "logrotate.conf" { services.logrotate.settings."/var/log/x/*.log" = { frequency = "daily"; rotate = 7; postrotate = "systemctl kill -s HUP x"; }; };
    expected = ''
      compress
      missingok
      notifempty
      rotate 4
      weekly

      "/var/log/x/*.log" {
        daily
        postrotate
          systemctl kill -s HUP x
        endscript
        rotate 7
      }
    '';
  };
  "logrotate runs only where there is something to rotate" = {
    expr = map (m: (etc m) ? "systemd/system/timers.target.wants/logrotate.timer") [ { } { services.logrotate.settings."/x" = { }; } ];
    expected = [ false true ];
  };
  "sysctl: booleans are numbers, null is left out, mkDefault gives way" = {
    expr = lib.filter (l: lib.hasPrefix "vm.swappiness" l || lib.hasPrefix "net.ipv4.ip_forward" l || lib.hasPrefix "kernel.sysrq" l)
      (lib.splitString "\n" (file "sysctl.d/60-lichen.conf" { boot.kernel.sysctl = { "vm.swappiness" = 10; "net.ipv4.ip_forward" = true; "kernel.sysrq" = null; }; }));
    expected = [ "net.ipv4.ip_forward=1" "vm.swappiness=10" ];
  };
  "zram" = {
    expr = file "systemd/zram-generator.conf" { zramSwap = { memoryPercent = 25; algorithm = "lz4"; }; };
    expected = "[zram0]\ncompression-algorithm = lz4\nswap-priority = 5\nzram-size = ram * 25 / 100 / 1\n";
  };
  "no service waits for compressed swap" = {
    expr = let e = etc { zramSwap.swapDevices = 2; }; in
      [ e."systemd/system/dev-zram1.swap".text (e ? "systemd/system/swap.target.wants/dev-zram1.swap") (linesWith "zram" e."modprobe.d/lichen.conf".text) ];
    expected = [
      ("[Unit]\nDescription=Swap on /dev/zram1\nDefaultDependencies=no\nBefore=umount.target\nConflicts=umount.target\n"
        + "Requires=systemd-zram-setup@zram1.service\nAfter=systemd-zram-setup@zram1.service\n\n[Swap]\nWhat=/dev/zram1\nOptions=discard\nPriority=5\n")
      true
      [ "options zram num_devices=2" ]
    ];
  };
  "swap and file systems are fstab's" = {
    expr = file "fstab" { swapDevices = [{ device = "/dev/sda3"; priority = 1; }]; fileSystems."/mnt/my data" = { label = "data"; fsType = "ext4"; options = [ "nofail" ]; }; };
    expected = "/run/boot-device /boot vfat noatime,umask=0077,errors=continue,nofail 0 0\n"
      + "/dev/disk/by-label/data /mnt/my\\040data ext4 nofail 0 2\n"
      + "/dev/sda3 none swap defaults,pri=1 0 0\n";
  };
  "a swap file is made, and no service waits for it" = {
    expr = let e = etc { swapDevices = [{ device = "/var/swapfile"; size = 512; priority = 1; }]; }; in
      [ (linesWith "swapfile" e.fstab.text) e."systemd/system/var-swapfile.swap".text (e ? "systemd/system/var-swapfile.swap.requires/mkswap-var-swapfile.service") ];
    expected = [
      [ ]
      "[Unit]\nDescription=Swap on /var/swapfile\nDefaultDependencies=no\nBefore=umount.target\nConflicts=umount.target\n\n[Swap]\nWhat=/var/swapfile\nOptions=defaults\nPriority=1\n"
      true
    ];
  };
  "kernel modules" = {
    expr = let m = { boot.kernelModules = [ "a" "a" ]; boot.blacklistedKernelModules = [ "b" ]; boot.extraModprobeConfig = "options c d=1"; zramSwap.enable = false; networking.firewall.enable = false; }; in
      [ (file "modules-load.d/lichen.conf" m) (lib.last (lib.splitString "blacklist " (file "modprobe.d/lichen.conf" m))) (linesWith "blacklist b" (file "modprobe.d/lichen.conf" m)) ];
    expected = [ "a\nramoops\n" "tipc\noptions c d=1\n" [ "blacklist b" ] ];
  };
  "an address by hand" = {
    expr = file "systemd/network/40-eth0.network" {
      networking.interfaces.eth0 = { ipv4.addresses = [{ address = "10.0.0.2"; prefixLength = 24; }]; mtu = 1400; };
      networking.defaultGateway = { address = "10.0.0.1"; interface = "eth0"; };
    };
    expected = ''
      [Match]
      Name=eth0

      [Link]
      MTUBytes=1400

      [Network]
      Address=10.0.0.2/24
      DHCP=no
      IPv6PrivacyExtensions=kernel
      MulticastDNS=true

      [Route]
      Gateway=10.0.0.1
    '';
  };
  "a device answers to NAME.local unless its page says otherwise" = {
    expr =
      let
        told = module: {
          resolved = (etc module) ? "systemd/resolved.conf.d/00-disable-mdns.conf";
          link = linesWith "MulticastDNS" (file "systemd/network/99-ethernet-default-dhcp.network" module);
          firewall = linesWith "5353" (file "nftables.conf" module);
          console = builtins.fromJSON (file "lichen/console.json" module);
        };
      in
      [ (told { lichen.pages = [ { port = 8080; } ]; }) (told { lichen.localName = false; })
        (linesWith "MulticastDNS" (file "systemd/network/10-mine.network" { systemd.network.networks."10-mine" = { name = "eth1"; networkConfig.MulticastDNS = "resolve"; }; })) ];
    expected = [
      { resolved = true; link = [ "MulticastDNS=true" ]; firewall = [ "\t\tudp dport { 5353 } accept" ]; console = { local_name = true; pages = [ [ "http" 8080 ] ]; }; }
      { resolved = false; link = [ ]; firewall = [ ]; console = { local_name = false; pages = [ ]; }; }
      [ "MulticastDNS=resolve" ]
    ];
  };
  "WireGuard: the key is a file, or a credential" = {
    expr = map (m: file "systemd/network/40-wg0.netdev" { networking.wireguard.interfaces.wg0 = m; }) [
      { privateKeyFile = "/var/lib/wg.key"; listenPort = 51820; peers = [{ publicKey = "a"; allowedIPs = [ "10.1.0.0/24" "fd00::/64" ]; endpoint = "h:1"; persistentKeepalive = 25; } { publicKey = "b"; }]; }
      { }
    ];
    expected = [
      ''
        [NetDev]
        Kind=wireguard
        Name=wg0

        [WireGuard]
        ListenPort=51820
        PrivateKeyFile=/var/lib/wg.key
        RouteTable=main

        [WireGuardPeer]
        AllowedIPs=10.1.0.0/24,fd00::/64
        Endpoint=h:1
        PersistentKeepalive=25
        PublicKey=a

        [WireGuardPeer]
        PublicKey=b
      ''
      "[NetDev]\nKind=wireguard\nName=wg0\n\n[WireGuard]\nRouteTable=main\n"
    ];
  };
  "iwd" = { expr = file "iwd/main.conf" { networking.wireless.iwd.settings.General.Country = "DE"; }; expected = "[General]\nCountry=DE\nEnableNetworkConfiguration=false\n\n[Network]\nNameResolvingService=systemd\n"; };
  "time" = {
    expr = let e = etc { time.timeZone = "Europe/Berlin"; networking.timeServers = [ "ntp.example" ]; }; in [ e.localtime.source e."systemd/timesyncd.conf".text ];
    expected = [ "/usr/share/zoneinfo/Europe/Berlin" "[Time]\nNTP=ntp.example\n" ];
  };
  "hosts" = {
    expr = file "hosts" { networking = { hostName = "rack7"; domain = "lan"; hosts."10.0.0.9" = [ "nas" ]; extraHosts = "10.0.0.8 x"; }; };
    expected = "10.0.0.9 nas\n127.0.0.1 localhost\n127.0.0.2 rack7.lan rack7\n::1 localhost\n10.0.0.8 x\n";
  };
  "I²C: bus, speed, group, module" = {
    expr = let c = (eval { hardware.i2c.enable = true; }).config; in
      [ c.hardware.raspberry-pi.firmwareConfig (lib.elem "i2c-dev" c.boot.kernelModules) c.users.groups.i2c.gid (linesWith "i2c-dev" c.environment.etc."udev/rules.d/99-local.rules".text) ];
    expected = [ [ "dtparam=i2c_arm=on" "dtparam=i2c_arm_baudrate=100000" ] true 980 [ "SUBSYSTEM==\"i2c-dev\", KERNEL==\"i2c-[0-9]*\", GROUP=\"i2c\", MODE=\"0660\"" ] ];
  };
  "tmpfiles" = {
    expr = let e = etc { systemd.tmpfiles = { rules = [ "d /x" ]; settings."10-y"."/y z".d = { mode = "0750"; user = "root"; }; }; }; in [ e."tmpfiles.d/00-lichen.conf".text e."tmpfiles.d/10-y.conf".text ];
    expected = [ "d /x\n" "d \"/y z\" 0750 root - -\n" ];
  };
  "environment variables" = { expr = file "profile.d/lichen.sh" { environment.variables = { EDITOR = "vi -u x"; LIST = [ "a" "b" ]; NONE = null; }; }; expected = "export EDITOR='vi -u x'\nexport LIST=a:b\n"; };
  "health checks" = {
    expr = builtins.fromJSON (file "lichen/health.json" { lichen = { healthDeadline = 60; healthChecks.web.http = "http://localhost/health"; healthChecks.ssh.unit = "ssh.service"; }; });
    expected = { deadline = 60; checks = { web.http = "http://localhost/health"; ssh.unit = "ssh.service"; }; };
  };
  "nix.conf, with settings that have no option of their own" = {
    expr = let text = file "nix/nix.conf" { nix.settings = { trusted-public-keys = [ "a:x=" "b:y=" ]; http-connections = 5; }; };
      in map (key: linesWith "${key} =" text) [ "trusted-public-keys" "http-connections" "require-sigs" ];
    expected = [ [ "trusted-public-keys = a:x= b:y=" ] [ "http-connections = 5" ] [ "require-sigs = true" ] ];
  };
}
