# Users and groups: all of them declared, all ids pinned, nobody with a password unless one is declared.
{ lib, config, ... }:
let
  inherit (lib) mkOption mkIf mkDefault types;
  cfg = config.users;
  inherit (config) ids;
  fixed = import ./debian/accounts.nix;

  userOptions = { name, config, ... }: {
    options = {
      enable = mkOption { type = types.bool; default = true; description = "Whether this user exists."; };
      name = mkOption { type = types.passwdEntry types.str; default = name; defaultText = lib.literalMD "the attribute's name"; description = "The name of the user."; };
      description = mkOption { type = types.passwdEntry types.str; default = ""; example = "Alice Q. User"; description = "Who the user is, for people."; };
      uid = mkOption {
        type = types.nullOr types.int;
        default = ids.uids.${config.name} or null;
        defaultText = lib.literalMD "the registered id of that name";
        description = "The user's id. Files in /var outlive generations, so every id is fixed.";
      };
      isSystemUser = mkOption { type = types.bool; default = false; description = "Whether this is a user for a service. Either this or `isNormalUser` is set."; };
      isNormalUser = mkOption { type = types.bool; default = false; description = "Whether this is a user for a person: a home, a shell, group `users`."; };
      group = mkOption { type = types.str; default = ""; description = "The user's primary group."; };
      extraGroups = mkOption { type = types.listOf types.str; default = [ ]; example = [ "i2c" ]; description = "Further groups of the user."; };
      home = mkOption { type = types.passwdEntry types.path; default = "/var/empty"; description = "The user's home directory."; };
      createHome = mkOption { type = types.bool; default = false; description = "Whether the home directory is made at boot, if it is missing."; };
      homeMode = mkOption { type = types.strMatching "[0-7]{1,5}"; default = "700"; description = "Permissions of a home directory that is made."; };
      shell = mkOption {
        type = types.nullOr (types.either types.package (types.passwdEntry types.path));
        default = "/usr/sbin/nologin";
        example = "/bin/bash";
        description = "The user's shell.";
      };
      hashedPassword = mkOption {
        type = types.nullOr (types.passwdEntry types.str);
        default = null;
        description = "The hash of the user's password, from {command}`mkpasswd`. null: the user cannot log in with a password. SSH never accepts one.";
      };
      openssh.authorizedKeys = {
        keys = mkOption { type = types.listOf types.singleLineStr; default = [ ]; example = [ "ssh-ed25519 AAAA… me@laptop" ]; description = "Public keys that may log in as this user over SSH."; };
        keyFiles = mkOption { type = types.listOf types.path; default = [ ]; description = "Files with such keys."; };
      };
    };
    config = mkIf config.isNormalUser {
      group = mkDefault "users";
      createHome = mkDefault true;
      home = mkDefault "/home/${config.name}";
      shell = mkDefault "/bin/bash";
    };
  };
  groupOptions = { name, config, ... }: {
    options = {
      name = mkOption { type = types.passwdEntry types.str; default = name; defaultText = lib.literalMD "the attribute's name"; description = "The name of the group."; };
      gid = mkOption {
        type = types.nullOr types.int;
        default = ids.gids.${config.name} or null;
        defaultText = lib.literalMD "the registered id of that name";
        description = "The group's id.";
      };
      members = mkOption { type = types.listOf (types.passwdEntry types.str); default = [ ]; description = "Users in this group, besides those that name it in `extraGroups`."; };
    };
  };

  users = lib.filter (u: u.enable) (lib.attrValues cfg.users);
  groups = lib.attrValues cfg.groups;
  quoted = s: if s == "" then "-" else "\"${lib.escape [ "\"" "\\" ] s}\"";
  memberships = lib.unique (lib.concatMap (u: map (g: { inherit g; u = u.name; }) u.extraGroups) users
    ++ lib.concatMap (g: map (u: { inherit u; g = g.name; }) g.members) groups);
  keysOf = u: u.openssh.authorizedKeys.keys
    ++ map (f: lib.removeSuffix "\n" (builtins.readFile f)) u.openssh.authorizedKeys.keyFiles;

  # Accounts that services run as, each with the unit. Specifiers and dynamic users of systemd are known only at runtime.
  isName = v: builtins.isString v && builtins.match "[a-zA-Z_][a-zA-Z0-9_.-]*" v != null;
  accountsOf = name: s:
    let c = s.serviceConfig; in
    lib.optionals (s.enable && !(builtins.elem (c.DynamicUser or false) [ true "true" "yes" ])) (
      map (what: { inherit name what; kind = "user"; }) (lib.toList (c.User or [ ]))
      ++ map (what: { inherit name what; kind = "group"; }) (lib.toList (c.Group or [ ]))
      ++ map (what: { inherit name what; kind = "group"; }) (lib.concatMap (lib.splitString " ") (lib.toList (c.SupplementaryGroups or [ ]))));
  runAs = lib.filter (a: isName a.what) (lib.concatLists (lib.mapAttrsToList accountsOf config.systemd.services));
  known = { user = map (u: u.name) users; group = map (g: g.name) groups; };

  duplicates = attr: xs: lib.filterAttrs (id: same: id != "null" && lib.length same > 1) (lib.groupBy (x: if x.${attr} == null then "null" else toString x.${attr}) xs);
in
{
  options.users = {
    mutableUsers = mkOption { type = types.bool; default = false; description = "Whether accounts may be changed on the device. Not supported here, since they are part of the generation."; };
    users = mkOption { default = { }; type = types.attrsOf (types.submodule userOptions); description = "The users of the appliance."; };
    groups = mkOption { default = { }; type = types.attrsOf (types.submodule groupOptions); description = "The groups of the appliance."; };
    # For the image, which writes shadow(5) from this.
    hashedPasswords = mkOption { type = types.attrsOf types.str; internal = true; readOnly = true; description = "Declared password hashes, by user."; };
  };

  config = {
    users.users = lib.mapAttrs (_: u: lib.mapAttrs (_: mkDefault) (removeAttrs u [ "uid" ]) // { isSystemUser = true; }) fixed.users // {
      systemd-network = { isSystemUser = true; group = "systemd-network"; description = "systemd Network Management"; home = "/"; };
      systemd-resolve = { isSystemUser = true; group = "systemd-resolve"; description = "systemd Resolver"; home = "/"; };
      systemd-timesync = { isSystemUser = true; group = "systemd-timesync"; description = "systemd Time Synchronization"; home = "/"; };
      messagebus = { isSystemUser = true; group = "messagebus"; description = "System Message Bus"; home = "/nonexistent"; };
      sshd = { isSystemUser = true; group = "nogroup"; description = "sshd user"; home = "/run/sshd"; };
    };
    users.groups = lib.genAttrs (lib.attrNames fixed.groups ++ [
      "systemd-network" "systemd-resolve" "systemd-timesync" "messagebus" "systemd-journal"
      "input" "sgx" "clock" "kvm" "render" "netdev" "_ssh"
    ]) (_: { });
    users.hashedPasswords = lib.listToAttrs (map (u: lib.nameValuePair u.name u.hashedPassword) (lib.filter (u: u.hashedPassword != null) users));

    # Sorts before those of Debian's packages, whose users get the ids given here. Groups first, by id.
    environment.etc = {
      "sysusers.d/00-lichen.conf".text = lib.concatStrings (
        map (g: "g ${g.name} ${toString g.gid}\n") (lib.sortOn (g: g.gid) groups)
        ++ map (u: "u ${u.name} ${toString u.uid}:${u.group} ${quoted u.description} ${u.home} ${toString u.shell}\n") (lib.sortOn (u: u.uid) users)
        ++ map (m: "m ${m.u} ${m.g}\n") memberships);
    } // lib.listToAttrs (map
      (u: lib.nameValuePair "ssh/authorized_keys.d/${u.name}" { text = lib.concatLines (keysOf u); mode = "0444"; })
      (lib.filter (u: keysOf u != [ ]) users));

    systemd.tmpfiles.rules = map (u: "d ${u.home} ${u.homeMode} ${u.name} ${u.group} -") (lib.filter (u: u.createHome) users);

    assertions = [
      { assertion = !cfg.mutableUsers; message = "users.mutableUsers: accounts are part of the generation and can't be changed on the device."; }
    ] ++ lib.concatMap
      (u: [
        {
          assertion = u.uid != null;
          message = "users.users.${u.name}.uid is not set, and the registry (modules/base/ids.nix) has no user of that name. Give it one, 1000 or higher for your own.";
        }
        {
          assertion = u.isSystemUser != u.isNormalUser;
          message = "Exactly one of users.users.${u.name}.isSystemUser and users.users.${u.name}.isNormalUser must be set.";
        }
        {
          assertion = u.group != "";
          message = "users.users.${u.name}.group is unset. You can create a group for this user with:\nusers.users.${u.name}.group = \"${u.name}\";\nusers.groups.${u.name} = {};";
        }
      ] ++ map
        (g: {
          assertion = g == "" || cfg.groups ? ${g};
          message = "users.users.${u.name} is in the group ${g}, which doesn't exist. Declare it: users.groups.${g} = { };";
        })
        ([ u.group ] ++ u.extraGroups))
      users
    ++ map
      (g: {
        assertion = g.gid != null;
        message = "users.groups.${g.name}.gid is not set, and the registry (modules/base/ids.nix) has no group of that name. Give it one, 1000 or higher for your own.";
      })
      groups
    ++ map
      (a: {
        assertion = builtins.elem a.what known.${a.kind};
        message = "systemd.services.${a.name} runs as the ${a.kind} ${a.what}, which doesn't exist. "
          + (if a.what == "i2c" then "Set hardware.i2c.enable." else "Declare it: users.${a.kind}s.${a.what}.");
      })
      runAs
    ++ lib.mapAttrsToList
      (id: same: { assertion = false; message = "uid ${id} is given to several users: ${lib.concatMapStringsSep ", " (u: u.name) same}."; })
      (duplicates "uid" users)
    ++ lib.mapAttrsToList
      (id: same: { assertion = false; message = "gid ${id} is given to several groups: ${lib.concatMapStringsSep ", " (g: g.name) same}."; })
      (duplicates "gid" groups);
  };
}
