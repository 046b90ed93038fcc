#ifndef CLI_CLI_H
#define CLI_CLI_H
/*
 * cli.h - the sub-commands of `weir`: one file each, one row each in cli.c.
 *
 * Each is given the words from its own name on (argv[0] is "run", "tail", ...), reads
 * them with args_read and returns an enum exit_code. It prints results on standard
 * output, everything else on standard error.
 */

/* The whole program behind main(). */
int cli_main(int argc, char **argv);

int run_main(int argc, char **argv);
int check_main(int argc, char **argv);
int reference_main(int argc, char **argv); /* weir config */
int topics_main(int argc, char **argv);
int state_main(int argc, char **argv);
int broker_main(int argc, char **argv);
int generate_main(int argc, char **argv);
int replay_main(int argc, char **argv);
int tail_main(int argc, char **argv);
int notify_main(int argc, char **argv);
int demo_main(int argc, char **argv);
int evaluate_main(int argc, char **argv);
#endif
