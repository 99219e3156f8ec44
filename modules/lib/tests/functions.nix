# The functions modules use beside options.
{ lib, ... }:
{
  "attributes are mapped to a list" = { expr = lib.mapAttrsToList (n: v: "${n}=${toString v}") { b = 2; a = 1; }; expected = [ "a=1" "b=2" ]; };
  "mapAttrs' renames" = { expr = lib.mapAttrs' (n: v: lib.nameValuePair "x-${n}" v) { a = 1; }; expected = { x-a = 1; }; };
  "filterAttrs keeps what holds" = { expr = lib.filterAttrs (_: v: v > 1) { a = 1; b = 2; }; expected = { b = 2; }; };
  "recursiveUpdate goes deep" = { expr = lib.recursiveUpdate { a = { b = 1; c = 2; }; } { a.b = 3; }; expected = { a = { b = 3; c = 2; }; }; };
  "attrByPath falls back" = { expr = [ (lib.attrByPath [ "a" "b" ] 0 { a.b = 1; }) (lib.attrByPath [ "a" "x" ] 0 { a.b = 1; }) ]; expected = [ 1 0 ]; };
  "genAttrs" = { expr = lib.genAttrs [ "a" ] (n: n + "!"); expected = { a = "a!"; }; };
  "concatMapAttrs" = { expr = lib.concatMapAttrs (n: v: { ${n} = v; "${n}2" = v; }) { a = 1; }; expected = { a = 1; a2 = 1; }; };
  "collect finds leaves" = { expr = lib.collect builtins.isInt { a = 1; b.c = 2; }; expected = [ 1 2 ]; };
  "flatten" = { expr = lib.flatten [ 1 [ 2 [ 3 ] ] ]; expected = [ 1 2 3 ]; };
  "unique keeps the first" = { expr = lib.unique [ 2 1 2 ]; expected = [ 2 1 ]; };
  "imap0 and imap1 count" = { expr = [ (lib.imap0 (i: x: "${toString i}${x}") [ "a" ]) (lib.imap1 (i: x: "${toString i}${x}") [ "a" ]) ]; expected = [ [ "0a" ] [ "1a" ] ]; };
  "take, drop, last, init" = { expr = [ (lib.take 2 [ 1 2 3 ]) (lib.drop 2 [ 1 2 3 ]) (lib.last [ 1 2 ]) (lib.init [ 1 2 ]) ]; expected = [ [ 1 2 ] [ 3 ] 2 [ 1 ] ]; };
  "foldr is from the right" = { expr = lib.foldr (a: b: a + b) "" [ "a" "b" ]; expected = "ab"; };
  "range" = { expr = [ (lib.range 1 3) (lib.range 2 1) ]; expected = [ [ 1 2 3 ] [ ] ]; };
  "splitString is literal" = { expr = lib.splitString "." "a.b..c"; expected = [ "a" "b" "" "c" ]; };
  "prefixes and suffixes" = {
    expr = [ (lib.hasPrefix "a" "ab") (lib.hasSuffix "a" "ab") (lib.removePrefix "a" "ab") (lib.removeSuffix "b" "ab") (lib.hasInfix "b" "abc") ];
    expected = [ true false "b" "a" true ];
  };
  "shell arguments are quoted when they must be" = { expr = lib.escapeShellArgs [ "a-b" "it's" "" ]; expected = "a-b 'it'\\''s' ''"; };
  "toLower, toUpper" = { expr = [ (lib.toLower "ÄbC") (lib.toUpper "abc") ]; expected = [ "Äbc" "ABC" ]; };
  "trim" = { expr = lib.trim "  a b \n"; expected = "a b"; };
  "toInt" = { expr = map lib.toInt [ "007" "-3" ]; expected = [ 7 (-3) ]; };
  "toInt refuses words" = { expr = lib.toInt "x"; fails = true; };
  "toHexString" = { expr = map lib.toHexString [ 10 255 ]; expected = [ "A" "FF" ]; };
  "versions compare" = { expr = [ (lib.versionAtLeast "1.10" "1.9") (lib.versionOlder "1.10" "1.9") (lib.versions.majorMinor "1.2.3") ]; expected = [ true false "1.2" ]; };
  "getExe names the main program" = { expr = lib.getExe { name = "ffmpeg-7"; outPath = "/usr"; }; expected = "/usr/bin/ffmpeg"; };
  "INI" = {
    expr = lib.generators.toINI { listsAsDuplicateKeys = true; } { b.x = true; a = { k = [ 1 2 ]; s = "t"; }; };
    expected = "[a]\nk=1\nk=2\ns=t\n\n[b]\nx=true\n";
  };
  "key=value" = { expr = lib.generators.toKeyValue { } { a = 1; b = "x"; }; expected = "a=1\nb=x\n"; };
  "Nix syntax" = { expr = lib.generators.toPretty { } { a = [ 1 "x" ]; b = null; "c.d" = { }; }; expected = ''{ a = [ 1 "x" ]; b = null; "c.d" = { }; }''; };
  "edit distance" = { expr = [ (lib.levenshtein "clmate" "climate") (lib.levenshtein "" "ab") (lib.levenshtein "kitten" "sitting") ]; expected = [ 1 2 3 ]; };
}
