# logrotate, for services that write log files. The journal needs none.
{ lib, config, ... }:
let
  inherit (lib) mkOption mkIf types;
  cfg = config.services.logrotate;
  files = lib.filter (s: s.enable) (lib.sortOn (s: s.priority) (lib.attrValues cfg.settings));

  directive = name: v:
    if v == true then name
    else if v == false || v == null then null
    else if builtins.elem name scripts then "${name}\n    ${lib.replaceStrings [ "\n" ] [ "\n    " ] (lib.removeSuffix "\n" v)}\n  endscript"
    else "${name} ${toString v}";
  scripts = [ "postrotate" "prerotate" "firstaction" "lastaction" "preremove" ];
  body = s: lib.filter (d: d != null) (lib.mapAttrsToList directive (removeAttrs s [ "enable" "files" "priority" "global" ]));
  block = s:
    if s.global then lib.concatLines (body s)
    else "${lib.concatMapStringsSep "\n" (f: "\"${f}\"") (lib.toList s.files)} {\n${lib.concatMapStrings (d: "  ${d}\n") (body s)}}\n";
in
{
  options.services.logrotate = {
    enable = mkOption {
      type = types.bool;
      default = lib.any (s: s.enable) (lib.attrValues (removeAttrs cfg.settings [ "header" ]));
      defaultText = lib.literalMD "whether any file is declared";
      description = "Whether logs are rotated daily.";
    };
    settings = mkOption {
      default = { };
      example = { "/var/log/x/*.log" = { frequency = "weekly"; rotate = 4; }; };
      description = "Log files, each with logrotate's directives. `header` applies to all.";
      type = types.attrsOf (types.submodule ({ name, ... }: {
        freeformType = types.attrsOf (types.nullOr (types.oneOf [ types.bool types.int types.str ]));
        options = {
          enable = mkOption { type = types.bool; default = true; description = "Whether these files are rotated."; };
          global = mkOption { type = types.bool; default = false; description = "Whether these directives apply to all files."; };
          files = mkOption { type = types.either types.str (types.listOf types.str); default = name; defaultText = lib.literalMD "the attribute's name"; description = "The files, or patterns."; };
          frequency = mkOption { type = types.nullOr types.str; default = null; example = "daily"; description = "How often to rotate."; };
          priority = mkOption { type = types.int; default = 1000; description = "Order among the others; lower comes first."; };
        };
      }));
    };
    configFile = mkOption { type = types.nullOr types.path; default = null; description = "A configuration in place of the generated one."; };
  };

  config = lib.mkMerge [
    {
      services.logrotate.settings.header = {
        global = true;
        enable = true;
        priority = 100;
        frequency = lib.mkDefault "weekly";
        rotate = lib.mkDefault 4;
        compress = lib.mkDefault true;
        missingok = lib.mkDefault true;
        notifempty = lib.mkDefault true;
      };
      environment.etc."logrotate.conf" =
        if cfg.configFile != null then { source = cfg.configFile; }
        else { text = lib.concatMapStringsSep "\n" (s: block (removeAttrs s [ "frequency" ] // lib.optionalAttrs (s.frequency != null) { ${s.frequency} = true; })) files; };
    }
    (mkIf cfg.enable { systemd.timers.logrotate.wantedBy = [ "timers.target" ]; })
  ];
}
