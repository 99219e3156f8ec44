# Strings. Whatever is cut out of a string keeps its context, so that a package named in it stays in the closure.
lib:
let
  inherit (builtins) concatStringsSep stringLength substring replaceStrings elem;
  upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  lower = "abcdefghijklmnopqrstuvwxyz";
in
rec {
  inherit (builtins)
    concatStringsSep hashString match replaceStrings stringLength substring split toFile unsafeDiscardStringContext;

  stringToCharacters = s: builtins.genList (n: substring n 1 s) (stringLength s);
  concatStrings = concatStringsSep "";
  concatMapStrings = f: xs: concatStrings (map f xs);
  concatImapStrings = f: xs: concatStrings (lib.imap1 f xs);
  concatMapStringsSep = sep: f: xs: concatStringsSep sep (map f xs);
  concatImapStringsSep = sep: f: xs: concatStringsSep sep (lib.imap1 f xs);
  concatMapAttrsStringSep = sep: f: set: concatStringsSep sep (lib.mapAttrsToList f set);
  concatLines = concatMapStrings (s: s + "\n");
  join = concatStringsSep;
  intersperse = sep: xs: builtins.tail (builtins.concatMap (x: [ sep x ]) xs);
  replicateString = n: s: concatStrings (lib.replicate n s);
  optionalString = cond: s: if cond then s else "";
  hasPrefix = prefix: s: substring 0 (stringLength prefix) s == prefix;
  hasSuffix = suffix: s:
    let n = stringLength s; m = stringLength suffix; in n >= m && substring (n - m) m s == suffix;
  hasInfix = infix: s: replaceStrings [ infix ] [ "" ] s != s || infix == "";
  removePrefix = prefix: s: if hasPrefix prefix s then substring (stringLength prefix) (-1) s else s;
  removeSuffix = suffix: s:
    if suffix != "" && hasSuffix suffix s then substring 0 (stringLength s - stringLength suffix) s else s;
  toLower = replaceStrings (stringToCharacters upper) (stringToCharacters lower);
  toUpper = replaceStrings (stringToCharacters lower) (stringToCharacters upper);
  addContextFrom = a: b: substring 0 0 a + b;
  splitString = sep: s:
    map (addContextFrom s) (builtins.filter builtins.isString
      (builtins.split (escapeRegex (toString sep)) (builtins.unsafeDiscardStringContext (toString s))));
  trim = s:
    let m = builtins.match "[ \t\r\n]*(.*[^ \t\r\n])[ \t\r\n]*" s; in if m == null then "" else addContextFrom s (builtins.head m);
  fixedWidthString = width: filler: s:
    let missing = width - stringLength s; in if missing <= 0 then s else replicateString missing filler + s;
  fixedWidthNumber = width: n: fixedWidthString width "0" (toString n);
  escape = chars: replaceStrings chars (map (c: "\\${c}") chars);
  escapeRegex = escape (stringToCharacters "\\[{()^$?*+|.");
  escapeShellArg = arg:
    let s = toString arg; in
    if builtins.match "[[:alnum:],._+:@%/-]+" s == null then "'${replaceStrings [ "'" ] [ "'\\''" ] s}'" else s;
  escapeShellArgs = concatMapStringsSep " " escapeShellArg;
  escapeNixString = s: escape [ "$" ] (builtins.toJSON s);
  escapeXML = replaceStrings [ "\"" "'" "<" ">" "&" ] [ "&quot;" "&apos;" "&lt;" "&gt;" "&amp;" ];
  escapeC = chars: replaceStrings chars (map hexEscape chars);
  isStringLike = x: builtins.isString x || builtins.isPath x || x ? outPath || x ? __toString;
  isStorePath = x: isStringLike x && builtins.dirOf (toString x) == builtins.storeDir;
  isConvertibleWithToString = x:
    isStringLike x || elem (builtins.typeOf x) [ "null" "int" "float" "bool" ]
    || (builtins.isList x && builtins.all isConvertibleWithToString x);
  toInt = s:
    let v = builtins.match "[ \t\n\r]*(-?)0*([0-9]+)[ \t\n\r]*" s; in
    if v == null then throw "toInt: could not convert ${escapeNixString s} to int."
    else builtins.fromJSON (builtins.head v + builtins.elemAt v 1);
  toHexString = n:
    let digit = d: substring d 1 "0123456789ABCDEF"; in
    if n < 16 then digit n else lib.toHexString (n / 16) + digit (lib.mod n 16);
  hexEscape = c: "\\x${toLower (fixedWidthString 2 "0" (lib.toHexString (charToInt c)))}";
  # A name that the store takes.
  sanitizeDerivationName = s:
    let clean = concatStrings (
      (map (x: if builtins.isList x then "-" else x) (builtins.split "[^[:alnum:]+._?=-]+" (builtins.unsafeDiscardStringContext s)))); in
    removePrefix "." (if clean == "" then "unknown" else substring 0 207 clean);
  versionOlder = a: b: builtins.compareVersions b a == 1;
  versionAtLeast = a: b: !(versionOlder a b);
  getName = x: if builtins.isString x then (builtins.parseDrvName x).name else x.pname or (builtins.parseDrvName x.name).name;
  getVersion = x: if builtins.isString x then (builtins.parseDrvName x).version else x.version or (builtins.parseDrvName x.name).version;
  getExe = pkg: lib.getExe' pkg (pkg.meta.mainProgram or (getName pkg));
  getExe' = pkg: name: "${lib.getBin pkg}/bin/${name}";
  makeBinPath = lib.makeSearchPath "bin";
  makeSearchPath = sub: pkgs: concatMapStringsSep ":" (p: "${p}/${sub}") (builtins.filter (p: p != null) pkgs);
  nameFromURL = url: sep: builtins.head (splitString sep (lib.last (splitString "/" url)));
  charToInt = c: lib.findFirst (n: asciiTable.${toString n} == c) (throw "charToInt: not printable ASCII: ${c}") (lib.range 32 126);
  asciiTable = builtins.listToAttrs (lib.imap0 (n: c: { name = toString (n + 32); value = c; }) (stringToCharacters
    " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"));
  # How many single-character edits turn `a` into `b`; the hints of errors are chosen with it.
  levenshtein = a: b:
    let
      as = stringToCharacters a;
      bs = stringToCharacters b;
      min3 = x: y: z: lib.min x (lib.min y z);
      step = row: ca:
        builtins.foldl'
          (acc: cb: acc // {
            n = acc.n + 1;
            out = acc.out ++ [
              (min3 (lib.last acc.out + 1) (builtins.elemAt row (acc.n + 1) + 1)
                (builtins.elemAt row acc.n + (if ca == cb then 0 else 1)))
            ];
          })
          { n = 0; out = [ (builtins.head row + 1) ]; }
          bs;
    in
    lib.last (builtins.foldl' (row: ca: (step row ca).out) (lib.range 0 (builtins.length bs)) as);
}
