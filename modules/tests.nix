# Every test of the modules, by value:  nix-instantiate --eval --strict --json modules/tests.nix
#
# A test file is `{ lib, modules }: { "what holds" = { expr, expected }; }`; `{ expr, fails = true; }` for an
# expression that must not evaluate. Files are found, never listed.
let
  modules = import ./default.nix { };
  inherit (modules) lib;

  suites = dir: map (name: { inherit name; cases = import (dir + "/${name}") { inherit lib modules; }; })
    (builtins.filter (lib.hasSuffix ".nix") (builtins.attrNames (if builtins.pathExists dir then builtins.readDir dir else { })));

  run = suite: lib.mapAttrsToList
    (name: case:
      let
        got = builtins.tryEval (builtins.deepSeq case.expr case.expr);
        fails = case.fails or false;
        shown = if got.success then lib.generators.toPretty { } got.value else "an error";
      in
      {
        test = "${suite.name}: ${name}";
        ok = if fails then !got.success else got.success && got.value == case.expected;
        why = if fails then "evaluates to ${shown}, but must not evaluate"
          else "got ${shown}, expected ${lib.generators.toPretty { } case.expected}";
      })
    suite.cases;

  results = lib.concatMap run (lib.concatMap suites [ ./lib/tests ./base/tests ./daemons/tests ./services/tests ./docs/tests ]);
in
{
  count = builtins.length results;
  failures = map (r: "${r.test}: ${r.why}") (builtins.filter (r: !r.ok) results);
}
