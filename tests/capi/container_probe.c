/* What tests/test_containers.py runs where the system gives little: container_probe MODEL [OPTION].
 * Prints the backend and the best label of one text, or why there is none (and exits with 1).
 * --no-affinity: first forbids the system calls that read and set CPU affinity.
 * --fork: a child made after loading answers, too. */
#include <affectrt.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int forbid_affinity(void) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_getaffinity, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_setaffinity, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog filter = {sizeof code / sizeof *code, code};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

static int failed(const char* doing, affectrt_status status) {
  if (status == AFFECTRT_OK) return 0;
  printf("%s: %s: %s\n", doing, affectrt_status_name(status), affectrt_last_error());
  return 1;
}

static int answer(const affectrt_model* model) {
  const affectrt_text text = {"Thank you so much!", AFFECTRT_NUL_TERMINATED, NULL, 0};
  affectrt_text texts[64];
  affectrt_answer best = AFFECTRT_ANSWER_INIT;
  affectrt_result* result = NULL;
  int bad;
  size_t i;
  for (i = 0; i < 64; ++i) texts[i] = text; /* enough for all threads */
  bad = failed("analyse", affectrt_model_analyse(model, texts, 64, NULL, &result)) ||
        failed("answer", affectrt_result_get_answer(result, 63, 0, &best));
  if (!bad) printf("answer %s\n", best.labels[0].label);
  affectrt_result_destroy(result);
  return bad;
}

int main(int argc, char** argv) {
  affectrt_model* model = NULL;
  affectrt_model_info info = AFFECTRT_MODEL_INFO_INIT;
  const char* option = argc > 2 ? argv[2] : "";
  int bad;
  if (argc < 2) return 2;
  if (strcmp(option, "--no-affinity") == 0 && !forbid_affinity()) return 3;
  bad = failed("load", affectrt_model_load_file(argv[1], NULL, &model)) ||
        failed("info", affectrt_model_get_info(model, &info));
  if (!bad) {
    printf("backend %s\n", info.backend_detail);
    bad = answer(model);
  }
  if (!bad && strcmp(option, "--fork") == 0) {
    int status = 1;
    fflush(stdout);
    if (fork() == 0) return answer(model);
    wait(&status);
    bad = status != 0 || answer(model);
  }
  affectrt_model_destroy(model);
  return bad;
}
