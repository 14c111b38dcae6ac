/* faults.h: the parts of the program that are not scenarios. They return how much was no good. */
#ifndef TESTS_FAULTS_FAULTS_H
#define TESTS_FAULTS_FAULTS_H

int scarce(void);              /* scarce.c: descriptors that have really run out */
int symbols(const char *path); /* symbols.c: what the library calls, against what is wrapped */

#endif
