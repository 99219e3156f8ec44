# Crates of this workspace → binaries. Dependencies are compiled in a derivation of their own, which knows only
# manifests and Cargo.lock, so that an edit of a service recompiles that service alone. It begins with what the local
# crates of a program depend on themselves, so that what the kit needs is compiled once for all services.
{ lib, debian, root }:
let
  workspace = builtins.fromTOML (builtins.readFile (root + "/Cargo.toml"));
  cargoLock = builtins.fromTOML (builtins.readFile (root + "/Cargo.lock"));

  # Every member's manifest, by package name.
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

  # A "directory source", as `cargo vendor` would make it, of these packages.
  vendor = packages: debian.runBusybox "vendor" {
    list = builtins.concatStringsSep "" (map (p: "${crateFile p} ${p.name}-${p.version} ${p.checksum}\n")
      (builtins.filter (p: p ? checksum) packages));
    passAsFile = [ "list" ];
  } ''
    $bb mkdir $out; cd $out
    while read -r file folder sum; do
      $bb tar -x -z --no-same-permissions --no-same-owner -f $file
      echo "{\"files\":{},\"package\":\"$sum\"}" > $folder/.cargo-checksum.json
    done < $listPath
  '';

  # --- a workspace of just the members that a program is made of -----------------------------------------
  # With the whole of it, any new dependency of any member would compile all programs anew, the initrd's too.
  toml = value:
    if builtins.isAttrs value then "{ ${builtins.concatStringsSep ", " (map (n: "${builtins.toJSON n} = ${toml value.${n}}") (builtins.attrNames value))} }"
    else if builtins.isList value then "[ ${builtins.concatStringsSep ", " (map toml value)} ]"
    else builtins.toJSON value;
  excerpt = names:
    let
      manifests = map (n: members.${n}.manifest) names;
      sections = builtins.concatMap (m: [ m ] ++ builtins.attrValues (m.target or { })) manifests;
      wanted = builtins.foldl' (all: m: all // m.dependencies or { } // m.dev-dependencies or { } // m.build-dependencies or { }) { } sections;
      packages = lockClosure names;
      versions = builtins.groupBy (p: p.name) packages;
      entry = p: ''

        [[package]]
        name = "${p.name}"
        version = "${p.version}"
        ${if p ? source then "source = \"${p.source}\"\nchecksum = \"${p.checksum}\"\n" else ""}dependencies = ${toml (map
          (d: let r = resolve d; in if builtins.length versions.${r.name} == 1 then r.name else "${r.name} ${r.version}")
          (p.dependencies or [ ]))}
      '';
    in {
      inherit packages;
      manifest = builtins.toFile "Cargo.toml" ''
        workspace = ${toml (workspace.workspace // {
          members = map (n: members.${n}.folder) names;
          dependencies = builtins.intersectAttrs wanted workspace.workspace.dependencies;
        })}
        profile = ${toml { inherit (workspace.profile) release; }}
      '';
      lock = builtins.toFile "Cargo.lock" ("version = 4\n" + builtins.concatStringsSep "" (map entry
        (builtins.sort (a: b: a.name < b.name || a.name == b.name && builtins.compareVersions a.version b.version < 0) packages)));
    };

  # --- building ----------------------------------------------------------------------------------------
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
  stubs = m: [ "${m.folder}/src/lib.rs" ] ++ named m ++ (if m.manifest ? bin then [ ] else [ "${m.folder}/src/main.rs" ]);
  words = builtins.concatStringsSep " ";
  # `testing` is for tests and benchmarks, which no device runs: HTTPS for them alone takes a minute to compile.
  features = m: builtins.attrNames (removeAttrs (m.features or { }) [ "default" "testing" ]);

  program = { name, target ? "aarch64-unknown-linux-gnu", static ? false }:
    let
      names = builtins.sort builtins.lessThan (local name);
      these = map (n: members.${n}) names;
      part = excerpt names;
      vendored = vendor part.packages;
      env = {
        inherit (part) manifest lock;
        manifests = map (m: builtins.path { name = "Cargo.toml"; path = root + "/${m.folder}/Cargo.toml"; }) these;
        binds = "--ro-bind ${vendored} /vendor";
        inherit vendored;
      };
      # Members that only tests need are not here, so that manifests must not speak of them.
      forTests = m: builtins.any (n: (workspace.workspace.dependencies.${n} or { }) ? path && ! builtins.elem n names)
        (builtins.attrNames (m.manifest.dev-dependencies or { }));
      lean = builtins.concatStringsSep "" (map (m: ''
        awk '/^\[/ { skip = /^\[dev-dependencies/ } !skip' ${m.folder}/Cargo.toml > lean.toml; mv lean.toml ${m.folder}/Cargo.toml
      '') (builtins.filter forTests these));
      setup = ''
        # What cargo remembers of rustc would be in no fixed order.
        export CARGO_HOME=/build/cargo CARGO_INCREMENTAL=0 CARGO_CACHE_RUSTC_INFO=0
        mkdir -p $CARGO_HOME work
        cat > $CARGO_HOME/config.toml <<EOF
        [source.crates-io]
        replace-with = "vendored"
        [source.vendored]
        directory = "/vendor"
        [target.${target}]
        linker = "${if target == "aarch64-unknown-linux-gnu" then "aarch64-linux-gnu-gcc" else "gcc"}"
        rustflags = ${toml (if static then [ "-C" "target-feature=+crt-static" ] else [ ])}
        EOF
        stub() { for file; do [ -e $file ] || { mkdir -p ''${file%/*}; echo '#![allow(warnings)] fn main() {}' > $file; }; done; }
        # Offline, with nothing at hand but what the lock names, cargo can choose no other version.
        build() { cargo build --release --offline --target ${target} -p ${name} "$@" 2>&1; }
        cd work
        cp --no-preserve=mode $manifest Cargo.toml
        cp --no-preserve=mode $lock Cargo.lock
      '';
      seeds = map (n: (program { name = n; inherit target static; }).deps) (builtins.filter (n: n != name) names);
      deps = debian.inRust "${name}-deps.tar.zst" (env // { inherit seeds; }) ''
        ${setup}
        for seed in $seeds; do tar -x --zstd -f $seed; done
        set -- $manifests
        for folder in ${words (map (m: m.folder) these)}; do
          mkdir -p $folder; cp --no-preserve=mode $1 $folder/Cargo.toml; shift
        done
        ${lean}stub ${words (builtins.concatMap stubs these)}
        # Whatever services may want of it: SQLite takes as long as all the rest, and begins here.
        build --features '${words (features members.${name}.manifest)}'
        # Only what is not ours may be reused.
        for member in ${words names}; do
          rm -rf target/${target}/release/{.fingerprint,deps,build}/{,lib}{$member,''${member//-/_}}{-*,.*}
        done
        rm -rf target/${target}/release/{examples,incremental}
        tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@1 -c target | zstd -q -T0 -3 -o $out
      '';
    in debian.inRust name (env // { inherit deps; sources = map source names; }) ''
      ${setup}
      ${builtins.concatStringsSep "\n" (map (n: "mkdir -p ${members.${n}.folder}; cp -r --no-preserve=mode ${source n}/. ${members.${n}.folder}") names)}
      ${lean}stub ${words (builtins.concatMap named these)}
      tar -x --zstd -f $deps
      build
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
