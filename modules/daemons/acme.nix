# Certificates from an authority that speaks ACME, such as Let's Encrypt, by Debian's lego, with NixOS's options. Until there is one, the
# device's own self-signed certificate is in its place. Nothing that fails here is a failed unit: it would make a generation on trial
# unhealthy for what the authority, or the network, does.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkOption types;
  make = import ./acme/options.nix { inherit lib; };
  cfg = config.security.acme;

  root = "/var/lib/acme";
  unit = name: "acme-${name}";
  domains = c: [ c.domain ] ++ c.extraDomainNames;
  synchronized = "/run/systemd/timesync/synchronized";
  files = [ "cert.pem" "chain.pem" "fullchain.pem" "key.pem" "full.pem" ];
  each = f: lib.mkMerge (lib.mapAttrsToList f cfg.certs);

  challenge = c:
    if c.webroot != null then [ "--http" "--http.webroot" c.webroot ]
    else if c.listenHTTP != null then [ "--http" "--http.port" c.listenHTTP ]
    else [ "--dns" c.dnsProvider ]
      ++ lib.optionals (c.dnsResolver != null) [ "--dns.resolvers" c.dnsResolver ]
      ++ lib.optional (!c.dnsPropagationCheck) "--dns.disable-cp";
  lego = name: c: lib.escapeShellArgs (
    [ "${pkgs.lego}/bin/lego" "--accept-tos" "--email" c.email "--server" c.server "--key-type" c.keyType "--path" "/run/${unit name}/lego" ]
    ++ lib.concatMap (domain: [ "--domains" domain ]) (domains c)
    ++ challenge c ++ c.extraLegoFlags ++ [ "run" ] ++ c.extraLegoRunFlags);

  script = name: c: ''
    state=${root}/${name}
    run=/run/${unit name}
    asked=${lib.escapeShellArg (lib.concatStringsSep " " ([ c.server c.keyType ] ++ domains c))}
    current=$state/current
    if [ "$(cat $current/asked 2> /dev/null)" = "$asked" ] \
      && openssl x509 -in $current/cert.pem -noout -checkend ${toString (c.validMinDays * 86400)} > /dev/null 2>&1; then
      rm -f $run/failed
      exit 0
    fi
    ${lib.optionalString config.services.timesyncd.enable ''
      # An authority may be taken for a wrong one as long as the time is wrong.
      for _ in $(seq 60); do [ ! -e ${synchronized} ] || break; sleep 2; done
      [ -e ${synchronized} ] || { echo 'the time is not known yet: nobody is asked for a certificate'; exit 0; }
    ''}
    trap '[ $? = 0 ] || { touch $run/failed; exit 75; }' EXIT
    for old in $state/cert-*; do [ "$old" = "$(readlink -f $current)" ] || rm -rf "$old"; done

    # lego works in /run: what it writes is not durable, and half an account would stop it for ever.
    rm -rf $run/lego
    mkdir -m 0700 $run/lego
    if [ -e $state/account.tar ]; then tar -x -C $run/lego -f $state/account.tar || rm -rf $run/lego/*; fi
    status=0
    timeout 600 ${lego name c} > $run/log 2>&1 || status=$?
    account() { tar -c -C $run/lego --sort=name --mtime=@0 --owner=0 --group=0 accounts; }
    if [ -d $run/lego/accounts ] && [ "$(account | sha256sum)" != "$(sha256sum 2> /dev/null < $state/account.tar)" ]; then
      (umask 0077; account > $state/account.tar.new)
      sync $state/account.tar.new
      mv $state/account.tar.new $state/account.tar
    fi
    if [ $status != 0 ]; then
      cat $run/log
      echo "<3>the authority gave no certificate for ${lib.concatStringsSep " " (domains c)}: the present one stays, and the timer tries again"
      exit 1
    fi

    # One link says which certificate counts, so that it and its key always belong together.
    new=$(mktemp -d $state/cert-XXXXXX)
    from=$run/lego/certificates/${lib.escapeShellArg (lib.replaceStrings [ "*" ] [ "_" ] c.domain)}
    cp $from.key $new/key.pem
    cp $from.crt $new/fullchain.pem
    cp $from.issuer.crt $new/chain.pem
    openssl x509 -in $from.crt -out $new/cert.pem
    cat $new/key.pem $new/fullchain.pem > $new/full.pem
    date -d "$(openssl x509 -in $new/cert.pem -noout -enddate | cut -d= -f2)" +%s > $new/ends
    echo "$asked" > $new/asked
    chmod 640 $new/*
    chmod 750 $new
    sync $new/* $new
    ln -sfn ''${new##*/} $state/next
    mv -T $state/next $current
    sync -f $state
    rm -rf $run/lego $run/failed
    touch $run/renewed
    echo "a new certificate for ${lib.concatStringsSep " " (domains c)}, valid until $(date -u -d @$(cat $new/ends) +%F)"
  '';
  # As root: services are reloaded, and the page's own commands run.
  renewed = name: c: ''
    #! /bin/bash -e
    [ -e /run/${unit name}/renewed ] || exit 0
    rm /run/${unit name}/renewed
    cd ${c.directory}
    ${lib.concatMapStrings (service: "systemctl --no-block try-reload-or-restart ${lib.escapeShellArg service} || echo ${lib.escapeShellArg "${service} goes on with the old certificate"}\n") c.reloadServices}
    ${c.postRun}
  '';

  certificate = { name, ... }: {
    options = make.hidden // make.shared
      (option: _: {
        default = cfg.defaults.${option};
        defaultText = lib.literalExpression "config.security.acme.defaults.${option}";
      }) // {
      domain = mkOption { type = types.str; default = name; description = "The name that it is for, `*.` and a domain for all names of that domain."; };
      extraDomainNames = mkOption { type = types.listOf types.str; default = [ ]; example = [ "www.example.org" ]; description = "Further names that it is for."; };
      listenHTTP = mkOption { type = types.nullOr types.str; default = null; example = ":80"; description = "The address and port that lego itself listens on while the authority asks, where no web server runs."; };
      directory = mkOption { type = types.str; readOnly = true; default = "${root}/${name}/current"; defaultText = lib.literalMD "{file}`${root}/NAME/current`"; description = "The folder with {file}`cert.pem`, {file}`chain.pem`, {file}`fullchain.pem`, {file}`key.pem`, and all of it in {file}`full.pem`."; };
    };
  };
in
{
  imports = [
    (import ./common/not-offered.nix [ "security" "acme" ] {
      maxConcurrentRenewals = "each certificate is renewed at a time of its own.";
      preliminarySelfsigned = "it is always so: services start with a certificate that the device signs itself.";
      useRoot = "lego runs as the user acme.";
    })
  ];

  options.security.acme = {
    acceptTerms = mkOption { type = types.bool; default = false; description = "Whether you accept the terms of the authority, such as [Let's Encrypt's](https://letsencrypt.org/repository/)."; };
    defaults = mkOption {
      type = types.submodule { options = make.hidden // make.shared (_: default: { inherit default; }); };
      default = { };
      description = "What holds for all certificates that do not say otherwise.";
    };
    certs = mkOption {
      type = types.attrsOf (types.submodule certificate);
      default = { };
      example = { "rack.example.org" = { dnsProvider = "cloudflare"; credentialFiles.CLOUDFLARE_DNS_API_TOKEN_FILE = "/run/credstore/acme.cloudflare"; }; };
      description = "Certificates from the authority, by name.";
    };
  };

  config = lib.mkIf (cfg.certs != { }) {
    assertions =
      let
        without = the: values: lib.mapAttrsToList (name: reason: { assertion = values.${name} == null; message = "${the}.${name} is not offered: ${reason}"; }) make.refused;
      in
      [
        { assertion = cfg.acceptTerms; message = "security.acme.acceptTerms: you must accept the authority's terms, https://letsencrypt.org/repository/, to get certificates from it."; }
      ]
      ++ without "security.acme.defaults" cfg.defaults
      ++ lib.concatLists (lib.mapAttrsToList
        (name: c:
          let the = "security.acme.certs.${name}"; in
          without the c ++ [
            { assertion = builtins.match "[A-Za-z0-9_.-]+" name != null; message = "${the}: names of certificates are letters, digits, `-', `_' and `.'; `domain' may be another one."; }
            { assertion = c.email != null; message = "${the}.email must be set, or security.acme.defaults.email: lego has no account without it."; }
            { assertion = lib.count (v: v != null) [ c.webroot c.listenHTTP c.dnsProvider ] == 1; message = "${the}: exactly one of webroot, listenHTTP and dnsProvider has to be set."; }
            { assertion = c.dnsProvider != null || ! lib.any (lib.hasPrefix "*.") (domains c); message = "${the}: an authority gives certificates for all names of a domain only over dnsProvider."; }
          ])
        cfg.certs);

    users.users.acme = { isSystemUser = true; group = "acme"; };
    users.groups.acme = { };
    environment.etc = lib.mkMerge [
      { "lichen/certificates.json".text = builtins.toJSON (lib.attrNames cfg.certs); }
      (each (name: c: { "lichen/scripts/${unit name}-renewed" = { text = renewed name c; mode = "0755"; }; }))
    ];
    lichen.selfSignedCertificates = each (name: c: {
      ${unit name} = { names = domains c; inherit (c) group; unit = if c.reloadServices == [ ] then null else lib.head c.reloadServices; };
    });
    lichen.state = each (name: _: {
      ${unit name} = {
        version = "1";
        directory = "${root}/${name}";
        user = "acme";
        backup = "tar -c -C ${root}/${name} .";
        restore = "tar -x -C \"$DIRECTORY\"";
      };
    });
    # In place of a certificate until there is one.
    systemd.tmpfiles.rules = lib.concatLists (lib.mapAttrsToList
      (name: c: [ "d ${root}/${name} 0750 acme ${c.group}" "d ${root}/${name}/none 0750 acme ${c.group}" ]
        ++ map (file: "L ${root}/${name}/none/${file} - - - - ${config.lichen.selfSignedCertificates.${unit name}.file}") files
        ++ [ "L ${root}/${name}/current - - - - none" ]
        ++ lib.optional (c.webroot != null) "d ${c.webroot}/.well-known/acme-challenge 0755 acme acme")
      cfg.certs);

    systemd.services = each (name: c: {
      ${unit name} = {
        description = "Get the certificate ${name} from the authority, or renew it";
        wants = [ "network-online.target" ];
        after = [ "network-online.target" ] ++ lib.optional (c.webroot != null) "nginx.service";
        path = [ pkgs.openssl "/usr" ];
        restartIfChanged = false;
        environment = lib.mapAttrs (variable: _: "%d/${variable}") c.credentialFiles;
        script = script name c;
        serviceConfig = import ../services/common/sandbox.nix // {
          Type = "oneshot";
          User = "acme";
          Group = c.group;
          # What failed is in the journal and in the metrics.
          SuccessExitStatus = 75;
          ExecStartPost = "+/etc/lichen/scripts/${unit name}-renewed";
          StateDirectory = "acme/${name}";
          StateDirectoryMode = "0750";
          RuntimeDirectory = unit name;
          RuntimeDirectoryMode = "0750";
          RuntimeDirectoryPreserve = true;
          # What the authority asks for is read by web servers.
          UMask = "0022";
          TimeoutStartSec = "20min";
          MemoryMax = "96M";
          OOMPolicy = "continue";
          TasksMax = 64;
        } // lib.optionalAttrs (c.webroot != null) { ReadWritePaths = [ "-${c.webroot}/.well-known/acme-challenge" ]; }
          // lib.optionalAttrs (c.listenHTTP != null) {
          AmbientCapabilities = [ "CAP_NET_BIND_SERVICE" ];
          CapabilityBoundingSet = [ "CAP_NET_BIND_SERVICE" ];
          # The right to bind to ports counts only in the device's own user namespace.
          PrivateUsers = false;
        } // lib.optionalAttrs (c.environmentFile != null) { EnvironmentFile = c.environmentFile; }
          // lib.optionalAttrs (c.credentialFiles != { }) { LoadCredential = lib.mapAttrsToList (variable: file: "${variable}:${file}") c.credentialFiles; };
      };
    });
    systemd.timers = each (name: c: {
      ${unit name} = {
        description = "Renew the certificate ${name} in time";
        wantedBy = [ "timers.target" ];
        timerConfig = { OnCalendar = c.renewInterval; RandomizedDelaySec = "30min"; };
      };
      # The first one is not waited for; nor is the time, where a device has no clock.
      "${unit name}-first" = {
        description = "Get the certificate ${name} soon";
        wantedBy = [ "timers.target" ];
        timerConfig = { OnActiveSec = "5s"; OnClockChange = true; Unit = "${unit name}.service"; };
      };
    });
  };
}
