# For system tests, after lib.sh: another kernel flavour of Debian's, fetched and unpacked under build/, not installed.
fetch() { # fetch FLAVOUR: unpacks linux-image-FLAVOUR-amd64's kernel; sets $kernel, $version, $root
    local package folder=$BULKHEAD_BUILD/kernels
    mkdir -p "$folder"
    package=$(apt-cache depends "linux-image-$1-amd64" 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
    if [ -n "$package" ]; then
        version=${package#linux-image-}
        version=${version%-unsigned}
        root=$folder/$version
        kernel=$root/boot/vmlinuz-$version
        [ -e "$root/complete" ] && return 0
        (cd "$folder" && apt-get download -q "$package") && rm -rf "$root" &&
            dpkg-deb -x "$folder/${package}_"*.deb "$root" && rm -f "$folder/${package}_"*.deb &&
            /sbin/depmod -b "$root" "$version" && touch "$root/complete" && return 0
    fi
    echo "linux-image-$1-amd64 could not be fetched"
    exit 99
}
