# PV page types and page tables, memory operations: unit tests, and the model test with random operations.
MM_SOURCES := tests/unit/fake/fake_mm.c hypervisor/common/page.c hypervisor/common/memory_op.c hypervisor/common/rangeset.c \
              hypervisor/common/subop.c \
              $(addprefix hypervisor/arch/x86/pv/,mmu_validate.c l1tf.c mmu_update.c mmuext.c pte_write.c mm_fault.c mm_domain.c \
                mm_memory.c grant_map.c)
MM_CFLAGS  := -Itests/unit/fake/include -Itests/unit/fake -Ihypervisor/arch/x86/include

$(eval $(call host_test,hv-mm,$(MM_SOURCES) tests/unit/hv-mm/test_tables.c tests/unit/hv-mm/test_updates.c \
  tests/unit/hv-mm/test_writes.c tests/unit/hv-mm/test_memory_op.c tests/unit/hv-mm/main.c,$(MM_CFLAGS),))
$(eval $(call host_test,hv-mm-model,$(MM_SOURCES) tests/model/page_types.c,$(MM_CFLAGS),))
