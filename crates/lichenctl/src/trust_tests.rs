use super::*;

#[test]
fn keys_are_read_as_nix_reads_them() {
    assert_eq!(
        keys("trusted-public-keys = \nmax-jobs = 0\n"),
        Vec::<&str>::new()
    );
    assert_eq!(
        keys("trusted-public-keys = a:x= b:y==\nextra-trusted-public-keys=c:z\n"),
        ["a:x=", "b:y==", "c:z"]
    );
}

#[test]
fn what_the_image_brought_needs_no_signature() {
    let factory = "/nix/store/a\nsha256:x\n4\n\n1\n/nix/store/b\n";
    assert_eq!(
        unproven("/nix/store/a\n/nix/store/c\n", factory),
        ["/nix/store/c"]
    );
}
