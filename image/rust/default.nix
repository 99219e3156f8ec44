# Crates of this workspace → binaries. Dependencies are compiled in a derivation of their own, which knows only
# manifests and Cargo.lock, so that an edit of a service recompiles that service alone.
{ lib, debian, root }:
let
  workspace = builtins.fromTOML (builtins.readFile (root + "/Cargo.toml"));
  cargoLock = builtins.fromTOML (builtins.readFile (root + "/Cargo.lock"));

  # Every member's manifest: cargo wants all of them to agree with Cargo.lock.
  folders = [ "tests" ] ++ map (n: "crates/${n}") (builtins.attrNames (builtins.readDir (root + "/crates")));
  members = builtins.listToAttrs (map (folder:
    let manifest = builtins.fromTOML (builtins.readFile (root + "/${folder}/Cargo.toml"));
    in { name = manifest.package.name; value = { inherit folder manifest; }; }) folders);

  # The members a crate is made of.
  local = name: map (x: x.key) (builtins.genericClosure {
    startSet = [ { key = name; } ];
    operator = { key }: map (key: { inherit key; }) (builtins.filter
      (n: (workspace.workspace.dependencies.${n} or { }) ? path)
      (builtins.attrNames ((members.${key}.manifest.dependencies or { }) // (members.${key}.manifest.build-dependencies or { }))));
  });

  # --- sources from the registry -------------------------------------------------------------------
  registry = builtins.filter (p: p ? checksum) cargoLock.package;
  crateFile = p: lib.fetched { name = "${p.name}-${p.version}.crate"; hash = p.checksum; };

  # Packages of Cargo.lock that a member needs, for its vendor folder and the bill of materials. An entry
  # of `dependencies` is "name" or, where that is ambiguous, "name version".
  byName = builtins.groupBy (p: p.name) cargoLock.package;
  resolve = dependency:
    let
      parts = builtins.filter builtins.isString (builtins.split " " dependency);
      candidates = byName.${builtins.head parts};
    in if builtins.length parts == 1 then builtins.head candidates
       else builtins.head (builtins.filter (p: p.version == builtins.elemAt parts 1) candidates);
  lockClosure = names: map (x: x.package) (builtins.genericClosure {
    startSet = map (n: let p = builtins.head byName.${n}; in { key = "${n} ${p.version}"; package = p; }) names;
    operator = { package, ... }: map
      (d: let p = resolve d; in { key = "${p.name} ${p.version}"; package = p; })
      (package.dependencies or [ ]);
  });

  # A "directory source", as `cargo vendor` would make it.
  vendor = debian.runBusybox "vendor" {
    list = builtins.concatStringsSep "\n" (map (p: "${crateFile p} ${p.name}-${p.version} ${p.checksum}") registry) + "\n";
    passAsFile = [ "list" ];
  } ''
    $bb mkdir $out; cd $out
    while read -r file folder sum; do
      $bb tar -x -z --no-same-permissions --no-same-owner -f $file
      echo "{\"files\":{},\"package\":\"$sum\"}" > $folder/.cargo-checksum.json
    done < $listPath
  '';

  # --- building ----------------------------------------------------------------------------------------
  manifests = builtins.path {
    name = "manifests";
    path = root;
    filter = path: type: let rel = builtins.substring (builtins.stringLength (toString root) + 1) (-1) path; in
      if type == "directory" then builtins.elem rel ([ "crates" ] ++ folders)
      else builtins.elem rel ([ "Cargo.toml" "Cargo.lock" ] ++ map (f: "${f}/Cargo.toml") folders);
  };
  source = name: builtins.path {
    name = "${name}-source";
    path = root + "/${members.${name}.folder}";
    # Tests do not change the program.
    filter = path: _: ! builtins.elem (baseNameOf path) [ "tests" "benches" "examples" "target" ];
  };

  # Empty programs in place of targets: cargo wants those that a manifest names to exist.
  named = m: builtins.concatLists (map
    ({ kind, folder }: map (t: "${m.folder}/${t.path or "${folder}/${t.name}.rs"}") (m.manifest.${kind} or [ ]))
    [ { kind = "bin"; folder = "src/bin"; } { kind = "example"; folder = "examples"; }
      { kind = "test"; folder = "tests"; } { kind = "bench"; folder = "benches"; } ]);
  stubs = builtins.concatMap
    (m: [ "${m.folder}/src/lib.rs" ] ++ named m ++ (if m.manifest ? bin then [ ] else [ "${m.folder}/src/main.rs" ]))
    (builtins.attrValues members);
  words = builtins.concatStringsSep " ";

  setup = target: rustflags: ''
    export CARGO_HOME=/build/cargo CARGO_INCREMENTAL=0
    mkdir -p $CARGO_HOME
    cat > $CARGO_HOME/config.toml <<EOF
    [source.crates-io]
    replace-with = "vendored"
    [source.vendored]
    directory = "/vendor"
    [target.${target}]
    linker = "${if target == "aarch64-unknown-linux-gnu" then "aarch64-linux-gnu-gcc" else "gcc"}"
    rustflags = [${builtins.concatStringsSep ", " (map (f: "\"${f}\"") rustflags)}]
    EOF
    build() { cargo build --release --frozen --target ${target} -p "$1" 2>&1; }
    stub() { for file; do [ -e $file ] || { mkdir -p ''${file%/*}; echo '#![allow(warnings)] fn main() {}' > $file; }; done; }
    cp -r --no-preserve=mode $manifests work
    cd work
    stub ${words stubs}
  '';

  program = { name, target ? "aarch64-unknown-linux-gnu", static ? false }:
    let
      rustflags = if static then [ "-C" "target-feature=+crt-static" ] else [ ];
      env = { inherit manifests; binds = "--ro-bind ${vendor} /vendor"; inherit vendor; };
      deps = debian.inRust "${name}-deps.tar.zst" env ''
        ${setup target rustflags}
        build ${name}
        # Only what is not ours may be reused.
        for member in ${words (builtins.attrNames members)}; do
          rm -rf target/${target}/release/{.fingerprint,deps,build}/{,lib}{$member,''${member//-/_}}{-*,.*}
        done
        rm -rf target/${target}/release/{examples,incremental}
        tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@1 -c target | zstd -q -T0 -3 -o $out
      '';
      sources = map (n: { folder = members.${n}.folder; source = source n; }) (local name);
    in debian.inRust name (env // { inherit deps; sources = map (s: s.source) sources; }) ''
      ${setup target rustflags}
      ${builtins.concatStringsSep "\n" (map (s: "rm -rf ${s.folder}; cp -r --no-preserve=mode ${s.source} ${s.folder}") sources)}
      stub ${words (builtins.concatMap (n: named members.${n}) (local name))}
      tar -x --zstd -f $deps
      build ${name}
      mkdir -p $out/bin
      find target/${target}/release -maxdepth 1 -type f -perm -100 -exec cp -t $out/bin {} +
      ls -l $out/bin
    '';
in {
  inherit lockClosure;

  # Programs for the build host.
  host = name: program { inherit name; target = "x86_64-unknown-linux-gnu"; };

  # Programs for the device; the static ones run before there is a libc, or outside the image.
  device = builtins.mapAttrs
    (name: _: program { inherit name; static = builtins.elem name [ "assemble" "fake-hat" ]; })
    (removeAttrs members [ "tests" ]);
}
