# NixOS's `utils`, as far as it is about names and arguments in units.
{ lib }:
let
  hex = c: "\\x${lib.toLower (lib.fixedWidthString 2 "0" (lib.toHexString (lib.strings.charToInt c)))}";
in
rec {
  # A path as part of a unit's name, as systemd-escape --path.
  escapeSystemdPath = path:
    let
      parts = builtins.filter (p: p != "" && p != ".") (lib.splitString "/" (toString path));
      char = c: if builtins.match "[a-zA-Z0-9:_.]" c != null then c else hex c;
      joined = lib.concatMapStringsSep "-" (p: lib.concatStrings (map char (lib.stringToCharacters p))) parts;
    in
    if parts == [ ] then "-"
    else if lib.hasPrefix "." joined then hex "." + builtins.substring 1 (-1) joined
    else joined;

  # An argument on an Exec line, taken literally.
  escapeSystemdExecArg = arg:
    let s = if builtins.isBool arg then lib.boolToString arg else toString arg; in
    builtins.replaceStrings [ "%" "$" ] [ "%%" "$$" ] (builtins.toJSON s);
  escapeSystemdExecArgs = lib.concatMapStringsSep " " escapeSystemdExecArg;
}
