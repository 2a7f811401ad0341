/* Included before everything: no symbol is another module's, so addresses need no table. */
#pragma GCC visibility push(hidden)
