# Certificates that the device makes and signs itself, at first boot: TLS without anybody to ask, for a page on the local
# network. A browser has to be told once that it is the right one.
{ lib, config, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.lichen.selfSignedCertificates;
  folder = "/var/lib/self-signed";
  unit = name: "self-signed-${name}";
in
{
  options.lichen.selfSignedCertificates = mkOption {
    default = { };
    example = { web = { names = [ "rack.example.org" ]; group = "nginx"; unit = "nginx.service"; }; };
    description = "Certificates that the device makes at first boot and renews before they end. Each is for the names of the device as well.";
    type = types.attrsOf (types.submodule ({ name, ... }: {
      options = {
        names = mkOption { type = types.listOf types.str; default = [ ]; example = [ "rack.example.org" ]; description = "Names of hosts that it is for."; };
        group = mkOption { type = types.str; example = "nginx"; description = "The group that may read it with its key."; };
        unit = mkOption { type = types.nullOr types.str; default = null; example = "nginx.service"; description = "The unit that needs it: it is started afterwards, and reloaded when the certificate is renewed."; };
        days = mkOption { type = types.ints.between 2 825; default = 397; description = "How many days it is valid. Browsers refuse more than 825."; };
        file = mkOption { type = types.path; readOnly = true; default = "${folder}/${name}.pem"; defaultText = lib.literalMD "`NAME.pem` in {file}`${folder}`"; description = "The file with the key and the certificate. Both are one file, so that they always belong together."; };
      };
    }));
  };

  config = {
    systemd.services = lib.mapAttrs'
      (name: c: lib.nameValuePair (unit name) {
        description = "Make the certificate ${name}, or renew it";
        wantedBy = [ "multi-user.target" ] ++ lib.optional (c.unit != null) c.unit;
        before = lib.optional (c.unit != null) c.unit;
        path = [ pkgs.openssl "/usr" ];
        # A third of its days before the end there is a new one, and also when the page names other hosts, or the device
        # has another name; and when it begins in the future, since it was made while the clock was wrong.
        script = ''
          file=${c.file}
          host=$(uname -n)
          names=DNS:$host,DNS:$host.local,DNS:localhost${lib.concatMapStrings (n: ",DNS:${n}") c.names}
          if [ -e $file ] && openssl x509 -in $file -noout -checkend ${toString (c.days * 86400 / 3)} > /dev/null \
            && [ $(date -d "$(openssl x509 -in $file -noout -startdate | cut -d = -f 2)" +%s) -le $(date +%s) ] \
            && openssl x509 -in $file -noout -ext subjectAltName | tr -d ' ' | grep -Fqx "$names"; then
            chgrp ${c.group} $file
            exit 0
          fi
          trap 'rm -f $file.key $file.crt $file.new' EXIT
          # It is no authority: some programs, rustls and Firefox among them, take no authority for a server. From yesterday on, because clocks differ.
          openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj "/CN=$host" -addext "subjectAltName=$names" \
            -addext basicConstraints=critical,CA:FALSE -addext keyUsage=critical,digitalSignature -addext extendedKeyUsage=serverAuth -not_before $(date -u -d yesterday +%Y%m%d%H%M%SZ) \
            -not_after $(date -u -d '${toString c.days} days' +%Y%m%d%H%M%SZ) -keyout $file.key -out $file.crt 2> /dev/null
          cat $file.key $file.crt > $file.new
          chgrp ${c.group} $file.new
          chmod 640 $file.new
          sync $file.new
          mv $file.new $file
          sync -f $file
          echo "made a certificate for $names"
          ${lib.optionalString (c.unit != null) "systemctl --no-block try-reload-or-restart ${c.unit} || echo '${c.unit} goes on with the old one'"}
        '';
        serviceConfig = import ../services/common/sandbox.nix // {
          Type = "oneshot";
          StateDirectory = "self-signed";
          StateDirectoryMode = "0711";
          # It gives the file to a group, and asks systemd for the reload.
          CapabilityBoundingSet = [ "CAP_CHOWN" ];
          SystemCallFilter = [ "@system-service" "~@resources" ];
          PrivateUsers = false;
          RestrictAddressFamilies = "AF_UNIX";
          PrivateNetwork = true;
          UMask = "0077";
          MemoryMax = "64M";
        };
      })
      cfg;
    # A device without a clock finds out at any time after its boot how late it is.
    systemd.timers = lib.mapAttrs'
      (name: _: lib.nameValuePair (unit name) {
        description = "Renew the certificate ${name} in time";
        wantedBy = [ "timers.target" ];
        timerConfig = { OnCalendar = "daily"; OnClockChange = true; RandomizedDelaySec = "1h"; };
      })
      cfg;
  };
}
