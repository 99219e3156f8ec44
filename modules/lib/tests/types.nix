# What each type accepts, and how it merges.
{ lib, ... }:
let
  inherit (lib) mkOption mkIf mkForce types;
  merge = type: values: (lib.mergeDefinitions [ "x" ] type (map (value: { file = "f.nix"; inherit value; }) values)).value;
  accepts = type: values: map type.check values;
  one = { options.n = mkOption { type = types.int; default = 1; }; };
in
{
  "bool, int, float, number" = {
    expr = [ (accepts types.bool [ true 1 ]) (accepts types.int [ 1 1.5 "1" ]) (accepts types.float [ 1 1.5 ]) (accepts types.number [ 1 1.5 "1" ]) ];
    expected = [ [ true false ] [ true false false ] [ false true ] [ true true false ] ];
  };
  "bounded integers" = {
    expr = [ (accepts types.port [ 0 65535 65536 (-1) ]) (accepts types.ints.u8 [ 255 256 ]) (accepts types.ints.s8 [ (-128) (-129) 127 128 ])
      (accepts types.ints.positive [ 0 1 ]) (accepts types.ints.unsigned [ 0 (-1) ]) (accepts (types.ints.between 2 4) [ 1 2 4 5 ]) ];
    expected = [ [ true true false false ] [ true false ] [ true false true false ] [ false true ] [ true false ] [ false true true false ] ];
  };
  "strings" = {
    expr = [ (accepts types.str [ "" 1 ]) (accepts types.nonEmptyStr [ " " "a" ]) (accepts (types.strMatching "[a-z]+") [ "ab" "aB" ]) (accepts (types.passwdEntry types.str) [ "a" "a:b" ]) ];
    expected = [ [ true false ] [ false true ] [ true false ] [ true false ] ];
  };
  "lines and commas join" = { expr = [ (merge types.lines [ "a" "b" ]) (merge types.commas [ "a" "b" ]) ]; expected = [ "a\nb" "a,b" ]; };
  "paths are absolute" = { expr = accepts types.path [ "/a" "a" ./. 1 ]; expected = [ true false true false ]; };
  "packages are what stands for /usr" = { expr = accepts types.package [ { outPath = "/usr"; } "/usr" { } ]; expected = [ true false false ]; };
  "enum" = { expr = accepts (types.enum [ "a" 1 ]) [ "a" 1 "b" ]; expected = [ true true false ]; };
  "nullOr" = { expr = [ (accepts (types.nullOr types.int) [ null 1 "a" ]) (merge (types.nullOr (types.listOf types.int)) [ [ 1 ] [ 2 ] ]) ]; expected = [ [ true true false ] [ 1 2 ] ]; };
  "nullOr does not mix" = { expr = merge (types.nullOr types.int) [ null 1 ]; fails = true; };
  "nonEmptyListOf" = { expr = accepts (types.nonEmptyListOf types.int) [ [ ] [ 1 ] ]; expected = [ false true ]; };
  "attrsOf merges each name, mkIf and mkForce included" = {
    expr = merge (types.attrsOf types.int) [ { a = 1; b = mkIf false 1; c = 1; } { c = mkForce 2; } ];
    expected = { a = 1; c = 2; };
  };
  "lazyAttrsOf keeps names and is lazy in values" = { expr = (merge (types.lazyAttrsOf types.int) [ { a = throw "read"; b = 1; } ]).b; expected = 1; };
  "listOf drops what is conditional" = { expr = merge (types.listOf types.int) [ [ 1 (mkIf false 2) ] ]; expected = [ 1 ]; };
  "elements of the wrong type do not pass" = { expr = merge (types.attrsOf types.int) [ { a = "x"; } ]; fails = true; };
  "submodules know their name" = {
    expr = merge (types.attrsOf (types.submodule ({ name, ... }: { options.id = mkOption { default = name; }; }))) [ { a = { }; } ];
    expected = { a.id = "a"; };
  };
  "submodules take functions" = { expr = merge (types.submodule one) [ ({ config, ... }: { options.m = mkOption { default = config.n + 1; }; }) ]; expected = { n = 1; m = 2; }; };
  "submodules refuse strangers" = { expr = merge (types.submodule one) [ { m = 1; } ]; fails = true; };
  "either takes the side that fits" = { expr = [ (merge (types.either types.int (types.listOf types.int)) [ [ 1 ] [ 2 ] ]) (accepts (types.oneOf [ types.int types.str types.bool ]) [ 1 "a" true null ]) ]; expected = [ [ 1 2 ] [ true true true false ] ]; };
  "coercedTo" = { expr = merge (types.coercedTo types.int toString types.str) [ 1 ]; expected = "1"; };
  "anything merges sets deeply" = { expr = merge types.anything [ { a.b = 1; } { a.c = [ 2 ]; } ]; expected = { a = { b = 1; c = [ 2 ]; }; }; };
  "anything does not mix kinds" = { expr = merge types.anything [ 1 "a" ]; fails = true; };
  "attrs merge at the top" = { expr = merge types.attrs [ { a.b = 1; } { a.c = 2; } ]; expected = { a.c = 2; }; };
  "equal definitions are one" = { expr = merge types.int [ 1 1 ]; expected = 1; };
  "different ones conflict" = { expr = merge types.int [ 1 2 ]; fails = true; };
  "functionTo merges results" = { expr = merge (types.functionTo (types.listOf types.int)) [ (n: [ n ]) (n: [ (n + 1) ]) ] 1; expected = [ 1 2 ]; };
  "uniq takes one" = { expr = merge (types.uniq (types.listOf types.int)) [ [ 1 ] [ 1 ] ]; fails = true; };
  "descriptions are NixOS's" = {
    expr = map (t: t.description) [ types.port (types.nullOr types.str) (types.listOf (types.enum [ "a" "b" ])) (types.attrsOf (types.listOf types.path)) types.lines ];
    expected = [
      "16 bit unsigned integer; between 0 and 65535 (both inclusive)"
      "null or string"
      "list of (one of \"a\", \"b\")"
      "attribute set of (list of absolute path)"
      "strings concatenated with \"\\n\""
    ];
  };
}
