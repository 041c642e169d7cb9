/*
 * splunkd.exe's part in starting an input, as far as a test needs it: anonymous pipes, no
 * console. Joins the program's three pipes to its own, and ends with the program's exit code.
 *
 *   splunkd.exe CONTROL PROGRAM [ARGUMENT]...
 *
 * CONTROL is a file. Each letter that is appended to it is done once, in order:
 *   b  CTRL_BREAK      c  CTRL_C      k  TerminateProcess
 *
 * A service has no console, so Windows gives such an event to the program by starting CtrlRoutine in it. wine does
 * not (8.0 does nothing, 10.0 kills), so this starts the same routine itself. For the same reason the program has no
 * process group of its own, as splunkd would give it: in one, wine's routine ignores both events.
 */
#include <windows.h>

#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

enum { POLL_MS = 20, PIPE_BYTES = 65536, DRAIN_MS = 5000, NOT_STARTED = 99 };

struct joint {
  HANDLE from, to;
};

/* Copies until either side is gone, and then closes both, so that each end learns of it. */
static DWORD WINAPI copy(void *argument) {
  const struct joint *joint = argument;
  char *piece = malloc(PIPE_BYTES);
  DWORD read, written;
  while (ReadFile(joint->from, piece, PIPE_BYTES, &read, NULL) && read > 0) {
    DWORD at = 0;
    while (at < read && WriteFile(joint->to, piece + at, read - at, &written, NULL)) at += written;
    if (at < read) break;
  }
  free(piece);
  CloseHandle(joint->from);
  CloseHandle(joint->to);
  return 0;
}

static void make_pipe(HANDLE *read, HANDLE *write, BOOL child_reads) {
  SECURITY_ATTRIBUTES inherited = {sizeof inherited, NULL, TRUE};
  CreatePipe(read, write, &inherited, PIPE_BYTES);
  SetHandleInformation(child_reads ? *write : *read, HANDLE_FLAG_INHERIT, 0);
}

static void send_event(HANDLE process, DWORD event) {
  void *routine = (void *)GetProcAddress(GetModuleHandleA("kernelbase.dll"), "CtrlRoutine");
  HANDLE thread = CreateRemoteThread(process, NULL, 0, (LPTHREAD_START_ROUTINE)routine, (void *)(ULONG_PTR)event, 0, NULL);
  if (thread == NULL) fprintf(stderr, "ERROR splunkd.exe: the event was not sent, error %lu\n", GetLastError());
  else CloseHandle(thread);
}

static void obey(const wchar_t *control, HANDLE process) {
  static long done;
  FILE *file = _wfopen(control, L"rb");
  if (file == NULL) return;
  fseek(file, done, SEEK_SET);
  for (int letter; (letter = fgetc(file)) != EOF; done++) {
    if (letter == 'b') send_event(process, CTRL_BREAK_EVENT);
    if (letter == 'c') send_event(process, CTRL_C_EVENT);
    if (letter == 'k') TerminateProcess(process, 1);
  }
  fclose(file);
}

/* As CommandLineToArgvW reads it back. */
static void append_quoted(wchar_t *line, const wchar_t *argument) {
  wchar_t *at = line + wcslen(line);
  if (at != line) *at++ = L' ';
  *at++ = L'"';
  for (size_t slashes = 0; *argument != 0; argument++) {
    slashes = *argument == L'\\' ? slashes + 1 : 0;
    if (*argument == L'"') *at++ = L'\\';
    *at++ = *argument;
    if (argument[1] == 0)
      while (slashes-- > 0) *at++ = L'\\';
  }
  *at++ = L'"';
  *at = 0;
}

int wmain(int count, wchar_t **arguments) {
  static wchar_t line[32768];
  HANDLE input_read, input_write, output_read, output_write, error_read, error_write;
  STARTUPINFOW startup = {.cb = sizeof startup};
  PROCESS_INFORMATION program;
  if (count < 3) return NOT_STARTED;
  make_pipe(&input_read, &input_write, TRUE);
  make_pipe(&output_read, &output_write, FALSE);
  make_pipe(&error_read, &error_write, FALSE);
  for (int index = 2; index < count; index++) append_quoted(line, arguments[index]);
  startup.dwFlags = STARTF_USESTDHANDLES;
  startup.hStdInput = input_read;
  startup.hStdOutput = output_write;
  startup.hStdError = error_write;
  FreeConsole();
  if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, CREATE_NO_WINDOW, NULL, NULL, &startup, &program)) {
    fprintf(stderr, "ERROR splunkd.exe: the program was not started, error %lu\n", GetLastError());
    return NOT_STARTED;
  }
  CloseHandle(input_read);
  CloseHandle(output_write);
  CloseHandle(error_write);
  struct joint input = {GetStdHandle(STD_INPUT_HANDLE), input_write};
  struct joint output = {output_read, GetStdHandle(STD_OUTPUT_HANDLE)};
  struct joint error = {error_read, GetStdHandle(STD_ERROR_HANDLE)};
  CreateThread(NULL, 0, copy, &input, 0, NULL);
  HANDLE drained[] = {CreateThread(NULL, 0, copy, &output, 0, NULL), CreateThread(NULL, 0, copy, &error, 0, NULL)};
  while (WaitForSingleObject(program.hProcess, POLL_MS) == WAIT_TIMEOUT) obey(arguments[1], program.hProcess);
  WaitForMultipleObjects(2, drained, TRUE, DRAIN_MS);
  DWORD code;
  GetExitCodeProcess(program.hProcess, &code);
  ExitProcess(code);
}
