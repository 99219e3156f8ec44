# An evaluated configuration → generation and image.
{ lib, debian, rust, kernel, boot, layers, disk, lock, lockText }:
name: config:
let
  discard = builtins.unsafeDiscardStringContext;
  attrValues = builtins.attrValues;
  filter = builtins.filter;

  # --- what the configuration uses, as the context of its strings tells
  etc = filter (e: e.enable or true) (attrValues config.environment.etc);
  isLink = e: builtins.isString (e.source or null) && builtins.substring 0 11 (discard e.source) != "/nix/store/";
  texts = map (e: if (e.text or null) != null then e.text else if isLink e then e.source else "") etc
    ++ map (p: "${p}") config.environment.systemPackages;
  usedIn = texts:
    let context = builtins.getContext (builtins.concatStringsSep "" texts); in
    derivation: context ? ${discard derivation.drvPath};
  packagesIn = texts: filter (key: usedIn texts debian.debs.${key}) debian.targetKeys;
  packageKeys = packagesIn texts;
  crates = filter (crate: usedIn texts rust.device.${crate}) (builtins.attrNames rust.device);
  programs = map (crate: rust.device.${crate}) crates;
  # The marks have done their work and are taken off; all other references of a text stay.
  marks = map (d: discard d.drvPath) (attrValues debian.debs ++ attrValues rust.device);
  unmark = text: builtins.appendContext (discard text) (removeAttrs (builtins.getContext text) marks);

  # --- layers, topmost first
  baseKeys = debian.setClosure "base";
  # Packages beyond the base. Those that only the kernel's set would bring in stay out.
  furtherKeys = filter (key: ! builtins.elem key baseKeys) (debian.closure packageKeys);
  sysusers = (config.environment.etc."sysusers.d/00-lichen.conf" or { text = ""; }).text;
  accounts = layers.accounts (baseKeys ++ furtherKeys) {
    sysusers = unmark sysusers;
    passwords = config.users.hashedPasswords;
  };
  numeric = mode: if mode == null || mode == "symlink" then "0644" else mode;
  entry = e: { path = "etc/${e.target}"; } // (
    if (e.text or null) != null then { text = unmark e.text; mode = numeric (e.mode or null); user = e.user or "root"; group = e.group or "root"; }
    else if isLink e then { link = unmark e.source; }
    else { source = "${e.source}"; mode = numeric (e.mode or null); user = e.user or "root"; group = e.group or "root"; });
  certificates = { files = config.security.pki.certificateFiles; texts = config.security.pki.certificates; };
  entries = map entry etc ++ (
    if certificates == { files = [ ]; texts = [ ]; } then [ ]
    else [ { path = "etc/ssl/certs/ca-certificates.crt"; source = layers.certificates certificates; } ]
  ) ++ [
    { path = "etc/passwd"; source = "${accounts}/etc/passwd"; }
    { path = "etc/group"; source = "${accounts}/etc/group"; }
    { path = "etc/shadow"; source = "${accounts}/etc/shadow"; mode = "0640"; group = "shadow"; }
    { path = "etc/gshadow"; source = "${accounts}/etc/gshadow"; mode = "0640"; group = "shadow"; }
  ];
  stack = [ { name = "config"; path = layers.config accounts entries; } ]
    ++ (if programs == [ ] then [ ] else [ { name = "services"; path = layers.services programs; } ])
    ++ (if furtherKeys == [ ] then [ ] else [ { name = "packages"; path = layers.packages furtherKeys; } ])
    ++ [ { name = "kernel"; path = layers.kernel kernel.tree; } { name = "base"; path = layers.base baseKeys; } ];

  # --- checked before anything boots
  isUnit = e: builtins.match "systemd/system/[^/]+\\.(service|socket|timer|mount|path|swap|target)" e.target != null && ! isLink e;
  unitsVerified = layers.unitsVerified {
    layers = map (l: l.path) (filter (l: l.name != "kernel") (builtins.tail stack) ++ [ (builtins.head stack) ]);
    units = map (e: baseNameOf e.target) (filter isUnit etc);
  };
  configFile = crate: config.environment.etc."${crate}/config.json" or null;
  configsChecked = map (crate: layers.configChecked {
    name = crate;
    program = rust.device.${crate};
    file = builtins.toFile "config.json" (discard (configFile crate).text);
  }) (filter (crate: configFile crate != null) crates);
  programsResolved = map (key: layers.programsResolved {
    inherit (lock.packages.${key}) name;
    deb = debian.debs.${key};
    layers = map (l: l.path) (filter (l: builtins.elem l.name [ "packages" "base" ]) stack);
  }) (filter (key: lock.packages.${key} ? without) packageKeys);

  contentOf = e: if (e.text or null) != null then unmark e.text else builtins.readFile e.source;
  configurationsJudged = attrValues (builtins.mapAttrs (name: check: layers.configurationJudged {
    inherit name;
    script = unmark check.script;
    debs = debian.files (debian.closure (packagesIn (map (p: "${p}") check.packages)));
    etc = builtins.listToAttrs (map (file: { name = file; value = contentOf config.environment.etc.${file}; }) check.etc);
  }) config.lichen.configurationChecks);

  manifest = {
    format = 1;
    appliance = name;
    stateVersion = config.system.stateVersion;
    debian = lock.timestamp;
    kernel = boot.kernelName;
    layers = map (l: { inherit (l) name; path = discard "${l.path}"; }) stack;
    packages = builtins.listToAttrs (map (key: { name = discard lock.packages.${key}.name; value = lock.packages.${key}.version; }) (baseKeys ++ furtherKeys));
    inherit crates;
  };

  toplevel = debian.runBusybox "lichen-${name}" {
    stack = builtins.concatStringsSep "\n" (map (l: "${l.path}") stack) + "\n";
    manifest = builtins.toJSON manifest;
    etc = builtins.toJSON entries;
    kernel = boot.kernelFolder;
    kernelParams = builtins.concatStringsSep " " config.boot.kernelParams;
    version = "${config.system.stateVersion}.${lock.timestamp}"
      + (if config.system.configurationRevision == null then "" else ".${config.system.configurationRevision}");
    # Nothing of these checks is in the output; they only have to succeed.
    inherit unitsVerified;
    configsChecked = configsChecked ++ programsResolved ++ configurationsJudged;
    passAsFile = [ "stack" "manifest" "etc" ];
  } ''
    $bb mkdir $out
    $bb cp $stackPath $out/layers
    $bb cp $manifestPath $out/manifest.json
    # The configuration layer readably: what a preview compares, and how Nix sees what it refers to.
    $bb cp $etcPath $out/etc.json
    $bb ln -s $kernel $out/kernel
    echo "$kernelParams" > $out/kernel-params
    echo "$version" > $out/nixos-version
    # By this name, and with these words, nixos-rebuild, deploy-rs and colmena activate a toplevel.
    $bb mkdir $out/bin
    $bb cat > $out/bin/switch-to-configuration <<EOF
    #!/bin/sh
    case \$1 in
      switch | boot | test) verb=\$1 ;;
      dry-activate) verb=dry-run ;;
      *) echo "usage: \$0 switch|boot|test|dry-activate" >&2; exit 2 ;;
    esac
    exec /usr/bin/lichenctl \$verb $out
    EOF
    # deploy-rs's client calls the first; its own program, where a profile brings it, calls the second.
    $bb cat > $out/activate-rs <<EOF
    #!/bin/sh
    exec /usr/bin/lichenctl activate-rs "\$@"
    EOF
    $bb cat > $out/deploy-rs-activate <<EOF
    #!/bin/sh
    if [ "\$DRY_ACTIVATE" = 1 ]; then verb=dry-activate; elif [ "\$BOOT" = 1 ]; then verb=boot; else verb=switch; fi
    exec $out/bin/switch-to-configuration \$verb
    EOF
    $bb chmod 755 $out/bin/switch-to-configuration $out/activate-rs $out/deploy-rs-activate
  '';

  # --- the bill of materials: CycloneDX 1.5, https://cyclonedx.org/docs/1.5/json/
  component = type: c: { type = "library"; bom-ref = c.purl; } // c;
  crateComponents = map (p: component "crate" { inherit (p) name version; purl = "pkg:cargo/${p.name}@${p.version}"; hashes = [ { alg = "SHA-256"; content = p.checksum; } ]; })
    (filter (p: p ? checksum) (rust.materials (crates ++ [ "assemble" ])));
  debComponents = map (key: let p = lock.packages.${key}; in component "deb" {
    inherit (p) name version;
    purl = "pkg:deb/debian/${p.name}@${builtins.replaceStrings [ "+" ":" "~" ] [ "%2B" "%3A" "~" ] p.version}?arch=${p.arch}";
    hashes = [ { alg = "SHA-256"; content = p.sha256; } ];
  }) (baseKeys ++ furtherKeys ++ debian.setClosure "kernel" ++ lock.sets.boot);
  sbom = {
    bomFormat = "CycloneDX";
    specVersion = "1.5";
    version = 1;
    metadata.component = { type = "operating-system"; inherit name; version = discard "${config.system.stateVersion}"; };
    components = debComponents ++ crateComponents;
  };
in {
  inherit toplevel configurationsJudged;
  # nixos-rebuild builds this and goes on in the program that it finds in there. It finds none, and goes on itself.
  nixos-rebuild = debian.runBusybox "nixos-rebuild-of-the-host" { } "$bb mkdir $out";
  # /etc as a folder, for a program of the build host that is to find there what it would find on the device.
  etc = debian.inTools "etc-${name}" { etc = builtins.toJSON entries; passAsFile = [ "etc" ]; } ''
    jq -c '.[]' $etcPath | while read -r entry; do
      of() { jq -r --arg name $1 '.[$name] // ""' <<< "$entry"; }
      file=$out/$(of path | sed 's,^etc/,,')
      mkdir -p $(dirname $file)
      if [ -n "$(of link)" ]; then ln -s "$(of link)" $file
      elif [ -n "$(of source)" ]; then cp -rL "$(of source)" $file
      else jq -j .text <<< "$entry" > $file; chmod $(of mode) $file
      fi
    done
  '';
  image = disk.image {
    inherit name toplevel;
    boot = boot.folder {
      inherit toplevel;
      inherit (config.boot) kernelParams;
      config = builtins.concatStringsSep "\n" config.hardware.raspberry-pi.firmwareConfig;
    };
    documents = { "sbom.cdx.json" = builtins.toJSON sbom; "lock.json" = lockText; "layers.json" = builtins.toJSON manifest; };
    facts = ''
      # The manifest tells sizes too, which only the build knows.
      jq '.layers |= map(. + { bytes: 0 })' layers.json > manifest.json
      for path in $(jq -r '.layers[].path' layers.json); do
        jq --arg path $path --argjson bytes $(stat -c %s $path) '(.layers[] | select(.path == $path)).bytes = $bytes' manifest.json > manifest.new
        mv manifest.new manifest.json
      done
      rm layers.json
    '';
  };
}
