# It follows a channel. Where that is the story says, as ports of the host are not known before; and its key, made of
# 32 zeros, is everybody's.
{
  nix.settings.trusted-public-keys = [ "test-1:O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=" ];
  services.lichen.autoUpdate = { enable = true; url = "http://10.0.2.2:1"; };
}
