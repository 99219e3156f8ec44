# How an appliance is hardened by default.
{ lib, config, ... }:
let
  inherit (lib) mkOption mkDefault types;
in
{
  options.security.pki = {
    certificates = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = lib.literalExpression ''[ (builtins.readFile ./our-ca.crt) ]'';
      description = "Certificates, in PEM, of authorities that are trusted besides those of Debian.";
    };
    certificateFiles = mkOption {
      type = types.listOf types.path;
      default = [ ];
      example = lib.literalExpression "[ ./our-ca.crt ]";
      description = "Files with such certificates.";
    };
  };

  config = {
    boot.kernel.sysctl = lib.mapAttrs (_: mkDefault) {
      "dev.tty.ldisc_autoload" = 0;
      "fs.protected_fifos" = 2;
      "fs.protected_hardlinks" = 1;
      "fs.protected_regular" = 2;
      "fs.protected_symlinks" = 1;
      "fs.suid_dumpable" = 0;
      "kernel.dmesg_restrict" = 1;
      "kernel.kexec_load_disabled" = 1;
      "kernel.kptr_restrict" = 2;
      "kernel.perf_event_paranoid" = 3;
      "kernel.sysrq" = 0;
      "kernel.unprivileged_bpf_disabled" = 1;
      "kernel.yama.ptrace_scope" = 2;
      "net.core.bpf_jit_harden" = 2;
      "net.ipv4.conf.all.accept_redirects" = 0;
      "net.ipv4.conf.all.send_redirects" = 0;
      "net.ipv4.conf.default.accept_redirects" = 0;
      "net.ipv4.conf.default.send_redirects" = 0;
      "net.ipv4.icmp_echo_ignore_broadcasts" = 1;
      "net.ipv4.tcp_rfc1337" = 1;
      "net.ipv4.tcp_syncookies" = 1;
      "net.ipv6.conf.all.accept_redirects" = 0;
      "net.ipv6.conf.default.accept_redirects" = 0;
    };
    # Network protocols that no appliance speaks, and in which many vulnerabilities were found.
    boot.blacklistedKernelModules = [ "dccp" "sctp" "rds" "tipc" ];
  };
}
