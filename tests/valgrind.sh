#!/bin/sh
# The C interface under valgrind: tests of tests/capi on tiny models, then the examples on the embedded
# ones: texts, a conversation, a clip, a stream. Fails at the first error or leak. Debian's `valgrind`;
# minutes.
set -eu
cd "$(dirname "$0")/.."
cmake --preset dev
cmake --build --preset dev --target affectrt affectrt_tiny_model test_capi test_capi_load test_capi_hpp \
  test_capi_sound test_capi_speech_stream test_capi_spoken
capi=build/dev/tests/capi
out=build/valgrind
mkdir -p "$out"

check() {
  echo "== $*"
  valgrind --quiet --error-exitcode=9 --leak-check=full --show-leak-kinds=definite,possible \
    --errors-for-leak-kinds=definite,possible "$@"
}
for test in capi capi_load capi_hpp; do
  check "$capi/test_$test" "$capi/tiny.affect"
done
for test in capi_sound capi_speech_stream capi_spoken; do
  check "$capi/test_$test" "$capi/tiny.affect" "$capi/tiny_speech.affect"
done

library="build/dev/csrc/capi/libaffectrt.so -Wl,-rpath,$PWD/build/dev/csrc/capi"
for example in c_console c_speech c_listen; do
  # shellcheck disable=SC2086  # a list of arguments
  gcc -std=c99 -g -Icsrc/capi "examples/$example/main.c" $library -o "$out/$example"
done
# shellcheck disable=SC2086
g++ -std=c++17 -g -Icsrc/capi examples/cpp_conversation/main.cpp $library -o "$out/cpp_conversation"
models=python/affectrt/models
check "$out/c_console" "$models/text.affect" "Thank you so much!" "naïve café 😀"
printf 'A: I lost my keys.\nB: Oh no, I am so sorry!\nA: Found them!\n' |
  check "$out/cpp_conversation" "$models/text.affect" emotion7
PYTHONPATH=tests python3 -c 'import sys, sounds
clip = sounds.voice(3.0, (0.5, 2.5)) * 20000
sys.stdout.buffer.write(clip.astype("<i2").tobytes())' >"$out/sound"
check "$out/c_speech" "$models/speech.affect" 16000 <"$out/sound"
check "$out/c_listen" "$models/speech.affect" 16000 <"$out/sound"
echo "valgrind: no error, no leak"
