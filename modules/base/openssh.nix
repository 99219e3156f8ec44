# SSH: keys only. The host's key is made on DATA at first boot.
{ lib, config, ... }:
let
  inherit (lib) mkOption mkIf types;
  cfg = config.services.openssh;

  value = v: if v == true then "yes" else if v == false then "no" else toString v;
  list = v: if builtins.isList v then lib.concatStringsSep "," v else v;
  nullableList = example: description: mkOption {
    type = types.nullOr (types.listOf types.str);
    default = null;
    inherit example description;
  };
  space = names: lib.concatStringsSep " " names;

  # Settings whose value is a list of words; the other lists are joined by commas.
  wordLists = [ "AllowUsers" "DenyUsers" "AllowGroups" "DenyGroups" "AcceptEnv" ];
  setting = name: v:
    if builtins.isList v && builtins.elem name wordLists then space v else value (list v);
  settings = lib.concatStrings (lib.mapAttrsToList (n: v: "${n} ${setting n v}\n")
    (lib.filterAttrs (_: v: v != null && v != [ ]) cfg.settings));

  listen = lib.concatMapStrings
    (l: "ListenAddress ${if lib.hasInfix ":" l.addr && !(lib.hasPrefix "[" l.addr) then "[${l.addr}]" else l.addr}${lib.optionalString (l.port != null) ":${toString l.port}"}\n")
    cfg.listenAddresses;

  keygen = key: ''
    if ! [ -s ${lib.escapeShellArg key.path} ]; then
      mkdir -p -m 0755 "$(dirname ${lib.escapeShellArg key.path})"
      rm -f ${lib.escapeShellArg key.path}.new ${lib.escapeShellArg key.path}.new.pub
      ssh-keygen -q -t ${key.type}${lib.optionalString (key ? bits) " -b ${toString key.bits}"} -N "" -C "" -f ${lib.escapeShellArg key.path}.new
      mv ${lib.escapeShellArg key.path}.new.pub ${lib.escapeShellArg key.path}.pub
      sync -f ${lib.escapeShellArg key.path}.pub
      mv ${lib.escapeShellArg key.path}.new ${lib.escapeShellArg key.path}
      sync -f ${lib.escapeShellArg key.path}
    fi
  '';
in
{
  options.services.openssh = {
    enable = mkOption { type = types.bool; default = false; description = "Whether the SSH server runs. It does by default here, since generations are deployed over SSH."; };
    ports = mkOption { type = types.listOf types.port; default = [ 22 ]; description = "The ports it listens on."; };
    openFirewall = mkOption { type = types.bool; default = true; description = "Whether the firewall lets those ports through."; };
    listenAddresses = mkOption {
      default = [ ];
      description = "The addresses it listens on; all, if none is given.";
      type = types.listOf (types.submodule {
        options = {
          addr = mkOption { type = types.str; description = "The address or name."; };
          port = mkOption { type = types.nullOr types.port; default = null; description = "The port; null for those of `ports`."; };
        };
      });
    };
    startWhenNeeded = mkOption { type = types.bool; default = false; description = "Whether a socket starts a server per connection. Not supported here: under memory pressure it would be the first to fail."; };
    allowSFTP = mkOption { type = types.bool; default = true; description = "Whether files can be transferred by SFTP, which scp uses."; };
    sftpServerExecutable = mkOption { type = types.str; default = "internal-sftp"; description = "The SFTP server."; };
    sftpFlags = mkOption { type = types.listOf types.str; default = [ ]; example = [ "-f AUTHPRIV" ]; description = "Arguments of the SFTP server."; };
    hostKeys = mkOption {
      type = types.listOf types.attrs;
      default = [{ type = "ed25519"; path = "/var/lib/ssh/ssh_host_ed25519_key"; }];
      description = "The host's keys. They are made at boot, if they are missing.";
    };
    authorizedKeysFiles = mkOption { type = types.listOf types.str; default = [ ]; description = "Further files with keys that may log in, besides those that are declared and those of {file}`lichen.toml`."; };
    authorizedKeysInHomedir = mkOption { type = types.bool; default = false; description = "Whether {file}`~/.ssh/authorized_keys` counts."; };
    banner = mkOption { type = types.nullOr types.lines; default = null; description = "What is shown before login."; };
    extraConfig = mkOption { type = types.lines; default = ""; description = "Further lines of {file}`sshd_config`."; };
    settings = mkOption {
      default = { };
      example = { LogLevel = "VERBOSE"; };
      description = "Settings of the server, see {manpage}`sshd_config(5)`.";
      type = types.submodule {
        freeformType = types.attrsOf (types.nullOr (types.oneOf [ types.bool types.int types.str (types.listOf types.str) ]));
        options = {
          PermitRootLogin = mkOption {
            type = types.nullOr (types.enum [ "yes" "without-password" "prohibit-password" "forced-commands-only" "no" ]);
            default = "prohibit-password";
            description = "Whether root can log in.";
          };
          PasswordAuthentication = mkOption { type = types.nullOr types.bool; default = false; description = "Whether passwords are accepted."; };
          KbdInteractiveAuthentication = mkOption { type = types.nullOr types.bool; default = false; description = "Whether keyboard-interactive login is accepted."; };
          AuthorizedPrincipalsFile = mkOption { type = types.nullOr types.str; default = "none"; description = "Files with principals of certificates."; };
          LogLevel = mkOption { type = types.nullOr (types.enum [ "QUIET" "FATAL" "ERROR" "INFO" "VERBOSE" "DEBUG" "DEBUG1" "DEBUG2" "DEBUG3" ]); default = "INFO"; description = "How much is logged."; };
          X11Forwarding = mkOption { type = types.nullOr types.bool; default = false; description = "Whether X11 is forwarded."; };
          UseDns = mkOption { type = types.nullOr types.bool; default = false; description = "Whether names of clients are looked up."; };
          UsePAM = mkOption { type = types.nullOr types.bool; default = true; description = "Whether PAM opens sessions."; };
          GatewayPorts = mkOption { type = types.nullOr types.str; default = "no"; description = "Whether others may use forwarded ports."; };
          ClientAliveInterval = mkOption {
            type = types.nullOr types.ints.unsigned;
            default = 15;
            description = ''
              After how many seconds of silence the client is asked whether it is still there. Who does not answer three times is
              disconnected, so that a change whose sender is gone does not hold up all others. 0: nobody is asked.
            '';
          };
          StrictModes = mkOption { type = types.nullOr types.bool; default = true; description = "Whether permissions of key files are checked."; };
          AllowUsers = nullableList [ "root" ] "Users that may log in; null for all.";
          DenyUsers = nullableList [ "guest" ] "Users that may not log in.";
          AllowGroups = nullableList [ "staff" ] "Groups that may log in; null for all.";
          DenyGroups = nullableList [ "guests" ] "Groups that may not log in.";
          Ciphers = nullableList [ "aes256-gcm@openssh.com" ] "Ciphers; null for OpenSSH's choice.";
          KexAlgorithms = nullableList [ "curve25519-sha256" ] "Key exchanges; null for OpenSSH's choice.";
          Macs = nullableList [ "hmac-sha2-512-etm@openssh.com" ] "Message authentication codes; null for OpenSSH's choice.";
        };
      };
    };
  };

  config = lib.mkMerge [
    { services.openssh.enable = lib.mkOverride 1400 true; }
    (mkIf cfg.enable {
      services.openssh.authorizedKeysFiles =
        lib.optional cfg.authorizedKeysInHomedir "%h/.ssh/authorized_keys"
        ++ [ "/etc/ssh/authorized_keys.d/%u" "/run/lichen/authorized_keys/%u" ];

      environment.etc = {
        # ssh.service reads this file, which the package's maintainer script would have made.
        "default/ssh".text = "SSHD_OPTS=\n";
        "ssh/sshd_config".text = lib.concatMapStrings (p: "Port ${toString p}\n") cfg.ports
          + listen
          + lib.concatMapStrings (k: "HostKey ${k.path}\n") cfg.hostKeys
          + "AuthorizedKeysFile ${space cfg.authorizedKeysFiles}\n"
          + lib.optionalString (cfg.banner != null) "Banner /etc/ssh/banner\n"
          + lib.optionalString cfg.allowSFTP "Subsystem sftp ${space ([ cfg.sftpServerExecutable ] ++ cfg.sftpFlags)}\n"
          + "PrintMotd no\n"
          + settings
          + lib.optionalString (cfg.extraConfig != "") (lib.removeSuffix "\n" cfg.extraConfig + "\n");
      } // lib.optionalAttrs (cfg.banner != null) { "ssh/banner".text = cfg.banner; };

      networking.firewall.allowedTCPPorts = lib.optionals cfg.openFirewall (cfg.ports ++ lib.concatMap (l: lib.optional (l.port != null) l.port) cfg.listenAddresses);

      systemd.services.ssh-host-keys = {
        description = "SSH host keys";
        before = [ "ssh.service" ];
        after = [ "lichen-provision.service" ];
        requiredBy = [ "ssh.service" ];
        unitConfig.RequiresMountsFor = lib.concatStringsSep " " (lib.unique (map (k: builtins.dirOf k.path) cfg.hostKeys));
        serviceConfig = { Type = "oneshot"; RemainAfterExit = true; UMask = "0022"; };
        script = lib.concatMapStrings keygen cfg.hostKeys;
      };
      # Debian's unit would make keys below /etc, where they would be lost at the next boot.
      systemd.services.sshd-keygen.enable = false;
      # Debian's unit has another name; with this alias NixOS's name works as well, and so do drop-ins for it.
      systemd.services.ssh = {
        wantedBy = [ "multi-user.target" ];
        aliases = [ "sshd.service" ];
        restartTriggers = [ config.environment.etc."ssh/sshd_config".text ];
        # Sessions survive a restart, among them that of whoever deploys.
        stopIfChanged = false;
        serviceConfig = {
          Restart = "always";
          RestartSec = 2;
          # Debian's unit does not restart after status 255, which is any fatal error, even one that passes.
          RestartPreventExitStatus = "";
          # Somebody must be able to log in even when memory is short.
          OOMScoreAdjust = -900;
        };
        startLimitIntervalSec = 0;
      };
      systemd.sockets.ssh.enable = false;

      assertions = [
        { assertion = !cfg.startWhenNeeded; message = "services.openssh.startWhenNeeded is not supported: the server always runs."; }
        { assertion = cfg.hostKeys != [ ]; message = "services.openssh.hostKeys is empty: a server needs at least one key."; }
      ];
    })
    (mkIf (!cfg.enable) { systemd.services.ssh.enable = false; systemd.sockets.ssh.enable = false; })
  ];
}
