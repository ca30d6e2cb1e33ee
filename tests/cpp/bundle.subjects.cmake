affectrt_test(bundle bundle)
affectrt_test(bundle_directory bundle)
affectrt_test(manifest bundle)
