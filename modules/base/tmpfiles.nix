# Files and directories that are made, or cleaned, at boot.
{ lib, config, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.systemd.tmpfiles;
  field = default: description: mkOption { type = types.str; inherit default description; };
  quote = s: if builtins.match "[^ \t\"\\\\]+" s != null then s else "\"${lib.escape [ "\"" "\\" ] s}\"";
  line = path: type: e: lib.concatStringsSep " " ([ type (quote path) e.mode e.user e.group e.age ] ++ lib.optional (e.argument != "") e.argument) + "\n";
in
{
  options.systemd.tmpfiles = {
    rules = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "d /var/lib/x 0750 x x 10d" ];
      description = "Lines of {manpage}`tmpfiles.d(5)`.";
    };
    settings = mkOption {
      default = { };
      example = { "10-x"."/var/lib/x".d = { mode = "0750"; user = "x"; }; };
      description = "The same, by file name, path and type.";
      type = types.attrsOf (types.attrsOf (types.attrsOf (types.submodule {
        options = {
          user = field "-" "Owner.";
          group = field "-" "Group.";
          mode = field "-" "Permissions.";
          age = field "-" "The age at which content is removed.";
          argument = field "" "What the type of line takes besides.";
        };
      })));
    };
  };

  config.environment.etc = lib.mapAttrs'
    (name: paths: lib.nameValuePair "tmpfiles.d/${name}.conf" {
      text = lib.concatStrings (lib.concatLists (lib.mapAttrsToList (path: lib.mapAttrsToList (line path)) paths));
    })
    cfg.settings // {
    "tmpfiles.d/00-lichen.conf".text = lib.concatLines cfg.rules;
  };
}
