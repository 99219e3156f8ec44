# NixOS's module semantics.
{ lib, ... }:
let
  inherit (lib) mkOption mkIf mkMerge mkDefault mkForce mkOverride mkBefore mkAfter mkOrder types;
  eval = modules: (lib.evalModules { inherit modules; }).config;
  opt = type: { options.x = mkOption { inherit type; }; };
  x = type: defs: (eval ([ (opt type) ] ++ map (d: { x = d; }) defs)).x;
  nested = { options.a.enable = lib.mkEnableOption "a"; options.a.list = mkOption { type = types.listOf types.str; default = [ ]; }; };
in
{
  "a default counts unless something is set" = { expr = map (m: (eval ([{ options.x = mkOption { default = 1; }; }] ++ m)).x) [ [ ] [{ x = 2; }] ]; expected = [ 1 2 ]; };
  "mkDefault gives way, mkForce wins" = { expr = [ (x types.int [ 1 (mkDefault 2) ]) (x types.int [ 1 (mkForce 3) ]) (x types.int [ (mkOverride 10 4) (mkForce 3) ]) ]; expected = [ 1 3 4 ]; };
  "lists join, later modules first, as in NixOS" = { expr = x (types.listOf types.str) [ [ "a" ] [ "b" ] ]; expected = [ "b" "a" ]; };
  "mkBefore, mkAfter and mkOrder order them" = {
    expr = x (types.listOf types.str) [ (mkAfter [ "z" ]) [ "m" ] (mkBefore [ "a" ]) (mkOrder 1200 [ "n" ]) ];
    expected = [ "a" "m" "n" "z" ];
  };
  "mkIf drops what is false" = { expr = x (types.listOf types.int) [ (mkIf false [ 1 ]) (mkIf true [ 2 ]) ]; expected = [ 2 ]; };
  "mkMerge within a value" = { expr = x types.lines [ (mkMerge [ "a" (mkIf false "b") "c" ]) ]; expected = "a\nc"; };
  "mkIf around a module's config may depend on config" = {
    expr = (eval [ nested ({ config, ... }: { config = mkIf config.a.enable { a.list = [ "on" ]; }; }) { a.enable = true; } ]).a.list;
    expected = [ "on" ];
  };
  "mkMerge and mkForce around a set reach each option" = {
    expr = (eval [ nested { a.list = [ "x" ]; } { config = mkMerge [ { a = mkForce { list = [ "y" ]; }; } (mkIf false { a.list = [ "z" ]; }) ]; } ]).a.list;
    expected = [ "y" ];
  };
  "the set of definitions may be written flat or under config" = { expr = (eval [ nested { config.a.enable = true; } { a.list = [ "l" ]; } ]).a; expected = { enable = true; list = [ "l" ]; }; };
  "imports: files, functions, sets; each file once" = {
    expr = (eval [ ./data/counted.nix { imports = [ ./data/counted.nix ({ ... }: { x = [ "function" ]; }) { x = [ "set" ]; } ]; } ]).x;
    expected = [ "set" "function" "file" ];
  };
  "disabledModules takes a file out" = { expr = (eval [ (opt (types.listOf types.str)) { imports = [ ./data/adds.nix ]; x = [ "kept" ]; } { disabledModules = [ ./data/adds.nix ]; } ]).x; expected = [ "kept" ]; };
  "_module.args reach every module" = {
    expr = (eval [ (opt types.str) ({ who, ... }: { x = who; }) { _module.args.who = "me"; } ]).x;
    expected = "me";
  };
  "specialArgs may decide imports" = {
    expr = (lib.evalModules { specialArgs.more = [{ x = "import"; }]; modules = [ (opt types.str) ({ more, ... }: { imports = more; }) ]; }).config.x;
    expected = "import";
  };
  "options are at hand" = { expr = (eval [ (opt types.str) { x = "v"; } { options.y = mkOption { }; } ({ options, ... }: { y = options.x.isDefined && options.x.highestPrio == 100; }) ]).y; expected = true; };
  "apply changes what is read" = { expr = (eval [{ options.x = mkOption { default = 2; apply = n: n * 2; }; }]).x; expected = 4; };
  "values nobody reads are not evaluated" = { expr = (eval [ { options.x = mkOption { }; options.y = mkOption { default = 1; }; } { x = throw "read"; } ]).y; expected = 1; };
  "laziness: an option may be computed from another of the same module" = {
    expr = (eval [ ({ config, ... }: { options.x = mkOption { default = throw "read"; }; options.y = mkOption { default = 1; }; options.z = mkOption { default = config.y + 1; }; }) ]).z;
    expected = 2;
  };
  "two declarations of a submodule option merge" = {
    expr = (eval [
      { options.x = mkOption { type = types.attrsOf (types.submodule { options.a = mkOption { default = 1; }; }); default = { }; }; }
      { options.x = mkOption { type = types.attrsOf (types.submodule { options.b = mkOption { default = 2; }; }); }; }
      { x.n = { }; }
    ]).x;
    expected = { n = { a = 1; b = 2; }; };
  };
  "freeform definitions are kept, declared ones typed" = {
    expr = x (types.submodule { freeformType = types.attrsOf types.int; options.port = mkOption { type = types.port; default = 80; }; }) [ { a = 1; } { b = 2; } ];
    expected = { port = 80; a = 1; b = 2; };
  };
  "a renamed option passes its definition on" = {
    expr = (eval [ (opt types.int) (lib.mkRenamedOptionModule [ "old" ] [ "x" ]) { old = 5; } ]).x;
    expected = 5;
  };
  "a renamed option keeps its priority" = {
    expr = (eval [ (opt types.int) (lib.mkAliasOptionModule [ "old" ] [ "x" ]) { old = mkForce 5; x = 6; } ]).x;
    expected = 5;
  };
  "extendModules adds to an evaluation" = {
    expr = ((lib.evalModules { modules = [ (opt types.int) { x = mkDefault 1; } ]; }).extendModules { modules = [{ x = 2; }]; }).config.x;
    expected = 2;
  };
  "warnings do not stop, assertions do" = {
    expr =
      let e = lib.evalModules { modules = [{ options.assertions = mkOption { default = [ ]; }; assertions = [{ assertion = false; message = "no"; }]; }]; };
      in lib.checked e "value";
    fails = true;
  };
}
