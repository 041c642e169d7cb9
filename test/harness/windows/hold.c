/*
 * hold.exe FILE: holds a file open as a virus scanner does, without the right for others to rename it or to write
 * over it. Prints one line when it does, and lets go when its standard input ends.
 */
#include <windows.h>

#include <stdio.h>

int wmain(int count, wchar_t **arguments) {
  if (count != 2) return 2;
  HANDLE file = CreateFileW(arguments[1], GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
  if (file == INVALID_HANDLE_VALUE) {
    printf("error %lu\n", GetLastError());
    return 1;
  }
  puts("held");
  fflush(stdout);
  while (getchar() != EOF) continue;
  CloseHandle(file);
  return 0;
}
