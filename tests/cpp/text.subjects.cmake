affectrt_test(unicode text)
affectrt_test(tokenizer text)
