/* log.c - one line at a time to the program's sink, or to stderr. Never contents of buffers. */
#include "process.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void kula__log(const struct kula__settings *settings, int level, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (settings->log) {
        bool outermost = kula__program_begin();
        settings->log(settings->log_arg, level, text);
        kula__program_end(outermost);
    } else if (level <= KULA_LOG_WARNING && !settings->quiet) {
        fprintf(stderr, "kula: %s\n", text);
    }
}
