#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "flagen/json_object.h"

namespace flagen::models {

/// Reads or writes the options of one JSON object from a single list of keys, so that the resolved
/// configuration cannot drift from the parser: a struct has one bind(OptionTable&), run both ways.
class OptionTable {
  public:
    static OptionTable reader(JsonObject json) { return OptionTable(std::move(json), false); }
    static OptionTable writer(JsonObject json) { return OptionTable(std::move(json), true); }

    void integer(const std::string& key, std::int64_t& value, std::int64_t min, std::int64_t max) {
        bind(key, value, json_.get_int(key, value, min, max));
    }
    void integers(const std::string& key, std::vector<std::int64_t>& value, std::int64_t min,
                  std::int64_t max) {
        bind(key, value, json_.get_ints(key, value, min, max));
    }
    void number(const std::string& key, double& value, double min, double max) {
        bind(key, value, json_.get_number(key, value, min, max));
    }
    void flag(const std::string& key, bool& value) { bind(key, value, json_.get_bool(key, value)); }
    /// An enumeration by its names in the configuration.
    template <typename Enum>
    void choice(const std::string& key, Enum& value,
                const std::vector<std::pair<Enum, std::string>>& names) {
        std::vector<std::string> choices;
        std::string current;
        for (const auto& [item, name] : names) {
            choices.push_back(name);
            if (item == value) {
                current = name;
            }
        }
        if (writes_) {
            json_.set(key, current);
            return;
        }
        const std::string chosen = json_.get_choice(key, current, choices);
        for (const auto& [item, name] : names) {
            if (name == chosen) {
                value = item;
            }
        }
    }
    /// The same where a file may also write null, as Borzoi's do for "no norm".
    template <typename Enum>
    void choice_or_null(const std::string& key, Enum& value,
                        const std::vector<std::pair<Enum, std::string>>& names, Enum null_value) {
        if (!writes_ && json_.is_null(key)) {
            value = null_value;
        } else {
            choice(key, value, names);
        }
    }
    /// Accepts keys without effect; they are not written.
    void ignore(std::initializer_list<const char*> keys) {
        for (const char* key : keys) {
            if (!writes_) {
                json_.ignore(key);
            }
        }
    }
    [[nodiscard]] bool writes() const { return writes_; }
    /// The table of an object below this one.
    OptionTable object(const std::string& key) {
        return {writes_ ? json_.set_object(key) : json_.get_object(key), writes_};
    }
    /// A list of objects, each with a bind() of its own. Where the key is absent, `items` stay.
    template <typename Item>
    void objects(const std::string& key, std::vector<Item>& items) {
        if (writes_) {
            if (items.empty()) {
                json_.set(key, std::vector<std::string>{});  // an empty list, not an absent key
            }
            for (Item& item : items) {
                OptionTable table = writer(json_.append_object(key));
                item.bind(table);
            }
            return;
        }
        if (!json_.has(key)) {
            return;
        }
        items.clear();
        for (const JsonObject& json : json_.get_objects(key)) {
            Item item;
            OptionTable table = reader(json);
            item.bind(table);
            items.push_back(item);
        }
    }

  private:
    OptionTable(JsonObject json, bool writes) : json_(std::move(json)), writes_(writes) {}

    template <typename Value>
    void bind(const std::string& key, Value& value, Value read) {
        if (writes_) {
            json_.set(key, value);
        } else {
            value = std::move(read);
        }
    }

    JsonObject json_;
    bool writes_;
};

}  // namespace flagen::models
