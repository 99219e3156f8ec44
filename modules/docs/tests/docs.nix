# The option reference.
{ lib, modules }:
let
  inherit (lib) mkOption types;
  inherit (modules) docs;
  entries = docs.list (lib.evalModules {
    modules = [{
      _file = "modules/services/x.nix";
      options.services.x = {
        port = mkOption { type = types.port; default = 80; example = 8080; description = "The port of {file}`x`."; };
        hidden = mkOption { internal = true; };
        computed = mkOption { type = types.str; default = throw "needs an appliance"; defaultText = lib.literalExpression "config.y"; };
        of = mkOption {
          type = types.attrsOf (types.submodule ({ name, ... }: { options.n = mkOption { type = types.str; default = name; description = "N."; }; }));
          default = { };
        };
      };
    }];
  }).options;
in
{
  "options and those of submodules are listed, internal ones are not" = {
    expr = map (o: o.name) entries;
    expected = [ "services.x.computed" "services.x.of" "services.x.of.<name>.n" "services.x.port" ];
  };
  "an entry says all there is to know" = {
    expr = lib.last entries;
    expected = {
      name = "services.x.port";
      type = "16 bit unsigned integer; between 0 and 65535 (both inclusive)";
      default = "80";
      example = "8080";
      description = "The port of `x`.";
      declarations = [ "modules/services/x.nix" ];
      readOnly = false;
    };
  };
  "defaults that need an appliance are told in words, or not at all" = { expr = map (o: o.default) entries; expected = [ "config.y" "{ }" "\"<name>\"" "80" ]; };
  "the page" = {
    expr = docs.markdown [ (lib.last entries) ];
    expected = ''
      # Options

      ## services.x.port

      The port of `x`.

      Type: 16 bit unsigned integer; between 0 and 65535 (both inclusive)

      Default: `80`

      Example: `8080`

      Declared in modules/services/x.nix

    '';
  };
  "every option of the base is described" = {
    expr = map (o: o.name) (lib.filter (o: o.description == "") (docs.list (modules.evalAppliance { modules = [ ]; pkgs.lichenctl.outPath = "/usr"; }).options));
    expected = [ ];
  };
}
