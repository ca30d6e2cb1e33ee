affectrt_test(signal audio)
affectrt_test(audio audio)
affectrt_test(vad audio)
