/* Turns of conversations for test programs in C. */
#ifndef AFFECTRT_TESTS_TURN_H
#define AFFECTRT_TESTS_TURN_H

#include <affectrt.h>
#include <stddef.h>

#define NUL AFFECTRT_NUL_TERMINATED

static affectrt_turn turn_of(affectrt_conversation* conversation, const char* speaker,
                             const char* text) {
  affectrt_turn turn;
  turn.conversation = conversation;
  turn.speaker = speaker;
  turn.speaker_size = NUL;
  turn.text = text;
  turn.text_size = text == NULL ? 0 : NUL;
  turn.emotion = NULL;
  return turn;
}

#endif
