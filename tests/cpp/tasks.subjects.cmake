affectrt_test(decode tasks)
affectrt_test(decode_tokens tasks)
affectrt_test(label_map tasks)
