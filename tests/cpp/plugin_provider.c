/* A provider library of ONNX Runtime (1.23 or newer) that offers the CPU and takes no node, so that
   the session's answers are the CPU's. Compiled and registered by tests/test_engine.py. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef void (*Slot)(void);
typedef struct {
  const Slot* (*get_api)(uint32_t version);
  const char* (*get_version_string)(void);
} ApiBase;

enum { kVersion = 23, kHardwareDeviceType = 307, kGetEpApi = 317, kCpu = 0 };

/* OrtEp: what is null is optional. */
typedef struct Ep {
  uint32_t version;
  const char* (*get_name)(const struct Ep*);
  void* (*get_capability)(struct Ep*, const void* graph, void* support);
  void* others[32];
} Ep;

/* OrtEpFactory as of 1.23. */
typedef struct Factory {
  uint32_t version;
  const char* (*get_name)(const struct Factory*);
  const char* (*get_vendor)(const struct Factory*);
  void* (*get_supported_devices)(struct Factory*, const void* const* devices, size_t count,
                                 void** ep_devices, size_t most, size_t* found);
  void* (*create_ep)(struct Factory*, const void* const* devices, const void* const* metadata,
                     size_t count, const void* options, const void* logger, Ep** ep);
  void (*release_ep)(struct Factory*, Ep*);
  uint32_t (*get_vendor_id)(const struct Factory*);
  const char* (*get_version)(const struct Factory*);
  void* left_out[3];
  void* (*create_data_transfer)(struct Factory*, void** made);
  uint8_t (*is_stream_aware)(const struct Factory*);
  void* others[24];
} Factory;

static const Slot* api;
static char name[64];
static Ep the_ep;
static Factory the_factory;

static const char* ep_name(const Ep* ep) { return (void)ep, name; }
static void* ep_capability(Ep* ep, const void* graph, void* support) {
  return (void)ep, (void)graph, (void)support, NULL;
}
static const char* factory_name(const Factory* factory) { return (void)factory, name; }
static const char* vendor(const Factory* factory) { return (void)factory, "affectrt's tests"; }
static uint32_t vendor_id(const Factory* factory) { return (void)factory, 0; }
static const char* version(const Factory* factory) { return (void)factory, "1.0.0"; }

static void* data_transfer(Factory* factory, void** made) {
  *made = NULL;
  return (void)factory, NULL;
}
static uint8_t stream_aware(const Factory* factory) { return (void)factory, 0; }

static void* supported_devices(Factory* factory, const void* const* devices, size_t count,
                               void** ep_devices, size_t most, size_t* found) {
  int (*type)(const void*) = (int (*)(const void*))api[kHardwareDeviceType];
  const Slot* ep_api = ((const Slot* (*)(void))api[kGetEpApi])();
  void* (*create)(Factory*, const void*, const void*, const void*, void**) =
      (void* (*)(Factory*, const void*, const void*, const void*, void**))ep_api[0];
  *found = 0;
  for (size_t i = 0; i < count && *found < most; ++i) {
    if (type(devices[i]) != kCpu) continue;
    void* failed = create(factory, devices[i], NULL, NULL, &ep_devices[*found]);
    if (failed != NULL) return failed;
    ++*found;
  }
  return NULL;
}

static void* create_ep(Factory* factory, const void* const* devices, const void* const* metadata,
                       size_t count, const void* options, const void* logger, Ep** ep) {
  (void)factory, (void)devices, (void)metadata, (void)count, (void)options, (void)logger;
  the_ep.version = kVersion;
  the_ep.get_name = ep_name;
  the_ep.get_capability = ep_capability;
  *ep = &the_ep;
  return NULL;
}

static void release_ep(Factory* factory, Ep* ep) { (void)factory, (void)ep; }

void* CreateEpFactories(const char* registered, const ApiBase* base, const void* logger,
                        Factory** factories, size_t most, size_t* count) {
  (void)logger, (void)most;
  api = base->get_api(kVersion);
  strncpy(name, registered, sizeof name - 1);
  the_factory.version = kVersion;
  the_factory.get_name = factory_name;
  the_factory.get_vendor = vendor;
  the_factory.get_supported_devices = supported_devices;
  the_factory.create_ep = create_ep;
  the_factory.release_ep = release_ep;
  the_factory.get_vendor_id = vendor_id;
  the_factory.get_version = version;
  the_factory.create_data_transfer = data_transfer;
  the_factory.is_stream_aware = stream_aware;
  factories[0] = &the_factory;
  *count = 1;
  return NULL;
}

void* ReleaseEpFactory(Factory* factory) { return (void)factory, NULL; }
