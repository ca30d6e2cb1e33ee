affectrt_test(token_models text)
affectrt_test(regex text)
affectrt_test(precompiled text)
