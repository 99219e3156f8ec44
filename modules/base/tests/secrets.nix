# Secrets that the device makes: what lichenctl reads, and what is refused.
{ lib, modules }:
let
  eval = secrets: modules.evalAppliance {
    pkgs.lichenctl.outPath = "/usr";
    modules = [{ _file = "appliances/x.nix"; lichen = { inherit secrets; }; }];
  };
  etc = secrets: (eval secrets).config.environment.etc;
  told = secrets: builtins.fromJSON (etc secrets)."lichen/secrets.json".text;
  made = generate: { "rack.password" = { inherit generate; }; };
in
{
  "it is what lichenctl reads" = {
    expr = told (made { } // { key.generate = { bytes = 16; encoding = "base64url"; }; });
    expected = {
      "rack.password" = { bytes = 32; encoding = "hex"; };
      key = { bytes = 16; encoding = "base64url"; };
    };
  };
  "nobody asked, nothing is there" = {
    expr = etc { } ? "lichen/secrets.json";
    expected = false;
  };
  "names are those that lichen.toml may give" = {
    expr = map (name: builtins.length (eval { ${name}.generate = { }; }).failedAssertions)
      [ "a" "rack.a-b_C9" (lib.concatStrings (lib.genList (_: "x") 200)) "" ".a" "a." "a/b" "a b" (lib.concatStrings (lib.genList (_: "x") 201)) ];
    expected = [ 0 0 0 1 1 1 1 1 1 ];
  };
  "too few bytes are refused" = { expr = told (made { bytes = 8; }); fails = true; };
  "an encoding that the device does not know is refused" = { expr = told (made { encoding = "rot13"; }); fails = true; };
  "a secret that nobody says how to make is refused" = { expr = told { token = { }; }; fails = true; };
}
