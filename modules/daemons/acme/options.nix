# The options of certificates from an authority: a value, not a module. Names, types and meaning are NixOS's.
{ lib }:
let
  inherit (lib) mkOption types;
in
rec {
  # What security.acme.defaults says for all certificates, and each may say otherwise. defaultOf: the name of an option, and what it is
  # where nobody says anything → its default.
  shared = defaultOf:
    let
      option = name: type: default: description: mkOption ({ inherit type description; } // defaultOf name default);
    in
    {
      email = option "email" (types.nullOr types.str) null "The address that the authority may write to, about this account.";
      server = option "server" types.str "https://acme-v02.api.letsencrypt.org/directory" "The directory of the authority, as an address. The default is Let's Encrypt's.";
      keyType = option "keyType" (types.enum [ "ec256" "ec384" "rsa2048" "rsa4096" "rsa8192" ]) "ec256" "The kind of key. Each new certificate has a new key.";
      group = option "group" types.str "acme" "The group that may read the certificate with its key.";
      webroot = option "webroot" (types.nullOr types.str) null "The folder that a web server of this device answers {file}`/.well-known/acme-challenge` from, on port 80.";
      dnsProvider = option "dnsProvider" (types.nullOr types.str) null "The provider of the domain's names, as lego calls it (`lego dnshelp`). It shows the authority a record in place of a file.";
      dnsResolver = option "dnsResolver" (types.nullOr types.str) null "The server, with its port, that is asked whether the record can be seen.";
      dnsPropagationCheck = option "dnsPropagationCheck" types.bool true "Whether to wait until all servers of the domain have the record.";
      environmentFile = option "environmentFile" (types.nullOr types.path) null "A file on the device with settings of the provider, as lines `NAME=value`.";
      credentialFiles = option "credentialFiles" (types.attrsOf types.path) { } "Files on the device with secrets of the provider, by the names of lego's variables, which end in `_FILE`.";
      reloadServices = option "reloadServices" (types.listOf types.str) [ ] "The services that are reloaded, or restarted if they cannot be, when there is a new certificate.";
      postRun = option "postRun" types.lines "" "Shell commands that root runs in the folder of a new certificate.";
      validMinDays = option "validMinDays" types.ints.positive 30 "How many days before its end a certificate is replaced.";
      renewInterval = option "renewInterval" types.str "hourly" "When to see whether that is so, in the words of {manpage}`systemd.time(7)`. What fails is tried again then.";
      extraLegoFlags = option "extraLegoFlags" (types.listOf types.str) [ ] "Further arguments of lego.";
      extraLegoRunFlags = option "extraLegoRunFlags" (types.listOf types.str) [ ] "Further arguments of `lego run`.";
    };

  # What NixOS has and is not offered here: each may only be set to get an error that says why.
  refused = {
    csr = "lego makes the request, with a new key each time.";
    csrKey = "lego makes the request, with a new key each time.";
    enableDebugLogs = "when it fails, the journal has all that lego said.";
    extraLegoRenewFlags = "a renewal is `lego run`, too: write extraLegoRunFlags.";
    inheritDefaults = "write the options that are to differ from security.acme.defaults.";
    ocspMustStaple = "Let's Encrypt no longer answers OCSP.";
    s3Bucket = "the challenge is answered by this device.";
  };
  hidden = lib.mapAttrs
    (_: reason: mkOption { type = types.unspecified; internal = true; visible = false; description = "Not offered: ${reason}"; default = null; })
    refused;
}
